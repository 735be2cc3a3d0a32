package s3file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// maxParts is the most parts of an upload
	// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
	maxParts = 10_000

	// summed begins the id of an upload whose parts have sums. Those that a version
	// before 0.2 began have none, and are known by their entity tags.
	summed = "sha256/"

	// joins are the most tries to join parts that others put anew meanwhile.
	joins = 5
)

// errPart reports a part that does not fit its upload.
var errPart = errors.New("s3file: an upload has 1 to 10,000 parts")

// StartParts begins an upload of key in parts. Nothing is there to be read
// before FinishParts.
func (b *Bucket) StartParts(ctx context.Context, key string) (string, error) {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	out, err := b.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &key, ContentType: aws.String(contentType),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	})
	if err != nil {
		return "", wrap("start parts", key, err)
	}
	return summed + aws.ToString(out.UploadId), nil
}

// PutPart stores part n, from 1 to 10,000, of an upload, in place of an earlier
// one, and returns its sum, which depends on the bytes alone. Every part but the
// last has at least 5 MiB, or FinishParts refuses them. It returns
// batch.ErrNoObject if there is no such upload any more.
func (b *Bucket) PutPart(ctx context.Context, key, uploadID string, n int, body []byte) (string, error) {
	if n < 1 || n > maxParts {
		return "", fmt.Errorf("%w, not a part %d: %s", errPart, n, key)
	}
	ctx, cancel := timed(ctx, int64(len(body)))
	defer cancel()
	id, hasSums := strings.CutPrefix(uploadID, summed)
	in := &s3.UploadPartInput{
		Bucket: &b.name, Key: &key, UploadId: &id, PartNumber: aws.Int32(int32(n)),
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
	}
	if hasSums {
		in.ChecksumSHA256 = aws.String(sumOf(body))
	}
	out, err := b.api.UploadPart(ctx, in)
	switch {
	case err != nil:
		return "", wrap("put part", key, err)
	case hasSums:
		return *in.ChecksumSHA256, nil
	}
	return aws.ToString(out.ETag), nil
}

// FinishParts makes the parts, whose sums stand in order, one object if nothing
// is there. That the same parts have become it already, by a call whose answer
// was lost or by another upload, is no error. It returns batch.ErrExists if
// another object is there, and leaves it, and batch.ErrNoObject if there is
// neither upload nor object.
//
// S3 joins parts by their entity tags. Under KMS the same bytes have another tag
// each time that they are put
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html), so of two who
// put a part only one knows its tag: the tags are those that S3 lists, for parts
// that have these sums.
func (b *Bucket) FinishParts(ctx context.Context, key, uploadID string, sums []string) error {
	if len(sums) == 0 || len(sums) > maxParts {
		return fmt.Errorf("%w, not %d: %s", errPart, len(sums), key)
	}
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	err := b.join(ctx, key, uploadID, sums)
	for try := 1; try < joins && isReplaced(err); try++ { // the list said otherwise a moment ago
		err = b.join(ctx, key, uploadID, sums)
	}
	switch hasSums := strings.HasPrefix(uploadID, summed); {
	case !isAbsent(err) && !errors.Is(err, batch.ErrExists):
		return err
	case hasSums:
		return b.holds(ctx, key, sumOfParts(sums), "")
	}
	return b.holds(ctx, key, "", tagOfParts(sums))
}

// isReplaced reports whether a part has not the tag any more that was listed.
func isReplaced(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "InvalidPart"
}

func (b *Bucket) join(ctx context.Context, key, uploadID string, sums []string) error {
	id := strings.TrimPrefix(uploadID, summed)
	parts, err := b.partsOf(ctx, key, id, sums)
	if err != nil {
		return err
	}
	_, err = b.api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &key, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		IfNoneMatch: aws.String("*"),
	})
	return wrap("finish parts", key, err)
}

// partsOf returns the parts that have these sums as S3 has them now, by a call
// for each 1,000. It returns errPart if one is not there or has another sum.
func (b *Bucket) partsOf(ctx context.Context, key, id string, sums []string) ([]types.CompletedPart, error) {
	parts := make([]types.CompletedPart, 0, len(sums))
	in := &s3.ListPartsInput{Bucket: &b.name, Key: &key, UploadId: &id}
	for {
		out, err := b.api.ListParts(ctx, in)
		if err != nil {
			return nil, wrap("list parts", key, err)
		}
		for _, p := range out.Parts[:min(len(out.Parts), len(sums)-len(parts))] {
			n := len(parts)
			if !isPart(p, n+1, sums[n]) {
				return nil, fmt.Errorf("%w: part %d of %s is not the one that was put", errPart, n+1, key)
			}
			parts = append(parts, types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag, ChecksumSHA256: p.ChecksumSHA256})
		}
		switch {
		case len(parts) == len(sums):
			return parts, nil
		case !aws.ToBool(out.IsTruncated):
			return nil, fmt.Errorf("%w: %d of %d parts of %s are there", errPart, len(parts), len(sums), key)
		}
		in.PartNumberMarker = out.NextPartNumberMarker
	}
}

// isPart reports whether p is part n with this sum, or with this tag where it has
// none.
func isPart(p types.Part, n int, sum string) bool {
	known := p.ChecksumSHA256
	if known == nil {
		known = p.ETag
	}
	return int(aws.ToInt32(p.PartNumber)) == n && aws.ToString(known) == sum
}

// AbortParts forgets an upload; that there is none is no error.
func (b *Bucket) AbortParts(ctx context.Context, key, uploadID string) error {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	_, err := b.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &b.name, Key: &key, UploadId: aws.String(strings.TrimPrefix(uploadID, summed)),
	})
	if err = wrap("abort parts", key, err); isAbsent(err) {
		return nil
	}
	return err
}
