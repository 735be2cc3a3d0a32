package s3file

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's own tags
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/musketry/musketry/internal/batch"
)

// maxParts is the most parts of an upload
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
const maxParts = 10_000

// errPart reports a part that does not fit its upload.
var errPart = errors.New("s3file: an upload has 1 to 10,000 parts")

// StartParts begins an upload of key in parts. Nothing is there to be read
// before FinishParts.
func (b *Bucket) StartParts(ctx context.Context, key string) (string, error) {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	out, err := b.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &key, ContentType: aws.String(contentType),
	})
	if err != nil {
		return "", wrap("start parts", key, err)
	}
	return aws.ToString(out.UploadId), nil
}

// PutPart stores part n, from 1 to 10,000, of an upload, in place of an earlier
// one, and returns its tag. Every part but the last has at least 5 MiB, or
// FinishParts refuses them. It returns batch.ErrNoObject if there is no such
// upload any more.
func (b *Bucket) PutPart(ctx context.Context, key, uploadID string, n int, body []byte) (string, error) {
	if n < 1 || n > maxParts {
		return "", fmt.Errorf("%w, not a part %d: %s", errPart, n, key)
	}
	ctx, cancel := timed(ctx, int64(len(body)))
	defer cancel()
	out, err := b.api.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID,
		PartNumber: aws.Int32(int32(n)),
		Body:       bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))), ContentMD5: digest(body),
	})
	if err != nil {
		return "", wrap("put part", key, err)
	}
	return aws.ToString(out.ETag), nil
}

// FinishParts makes the parts, whose tags stand in order, one object if nothing
// is there. That the same parts have become it already, by a call whose answer
// was lost or by another upload, is no error. It returns batch.ErrExists if
// another object is there, and leaves it, and batch.ErrNoObject if there is
// neither upload nor object.
func (b *Bucket) FinishParts(ctx context.Context, key, uploadID string, etags []string) error {
	if len(etags) == 0 || len(etags) > maxParts {
		return fmt.Errorf("%w, not %d: %s", errPart, len(etags), key)
	}
	done := make([]types.CompletedPart, len(etags))
	for i, etag := range etags {
		done[i] = types.CompletedPart{
			ETag: aws.String(etag), PartNumber: aws.Int32(int32(i + 1)),
		}
	}
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	_, err := b.api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		IfNoneMatch: aws.String("*"),
	})
	if err = wrap("finish parts", key, err); isAbsent(err) || errors.Is(err, batch.ErrExists) {
		return b.holds(ctx, key, tagOf(etags))
	}
	return err
}

// tagOf returns the entity tag of an object that was made of parts: the MD5 of
// their MD5s, and their number
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html).
func tagOf(etags []string) string {
	sums := md5.New() //nolint:gosec // as S3 tags objects
	for _, etag := range etags {
		sum, _ := hex.DecodeString(strings.Trim(etag, `"`)) // what is no MD5 matches nothing
		sums.Write(sum)
	}
	return fmt.Sprintf("%x-%d", sums.Sum(nil), len(etags))
}

// AbortParts forgets an upload; that there is none is no error.
func (b *Bucket) AbortParts(ctx context.Context, key, uploadID string) error {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	_, err := b.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID,
	})
	if err = wrap("abort parts", key, err); isAbsent(err) {
		return nil
	}
	return err
}
