package s3file

import (
	"context"
	"crypto/md5" //nolint:gosec // S3's own tags
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/musketry/musketry/internal/batch"
)

// sumOf returns the SHA-256 of body in base64, as S3 writes it. S3 refuses a body
// that has another one than was said, and keeps it with the object, whatever the
// bucket is encrypted with
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
func sumOf(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// sumOfParts returns what S3 keeps of an object that was made of parts with these
// sums: the SHA-256 of them, and their number
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html).
func sumOfParts(sums []string) string {
	whole := sha256.New()
	for _, sum := range sums {
		part, _ := base64.StdEncoding.DecodeString(sum) // what is no sum matches nothing
		whole.Write(part)
	}
	return fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(whole.Sum(nil)), len(sums))
}

// tagOf returns the entity tag of an object that was put whole without a sum.
func tagOf(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // as S3 tags objects
	return hex.EncodeToString(sum[:])
}

// tagOfParts returns the entity tag of an object that was made of parts without
// sums: the MD5 of their MD5s, and their number.
func tagOfParts(tags []string) string {
	sums := md5.New() //nolint:gosec // as S3 tags objects
	for _, tag := range tags {
		sum, _ := hex.DecodeString(strings.Trim(tag, `"`)) // what is no MD5 matches nothing
		sums.Write(sum)
	}
	return fmt.Sprintf("%x-%d", sums.Sum(nil), len(tags))
}

// Holds reports whether key's object was put whole and is body. It returns
// batch.ErrNoObject if there is no such object.
func (b *Bucket) Holds(ctx context.Context, key string, body []byte) (bool, error) {
	err := b.holds(ctx, key, sumOf(body), tagOf(body))
	if errors.Is(err, batch.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

// holds returns nil if key's object has this sum, and batch.ErrExists if it has
// another. What a version before 0.2 put has none; S3's own keys encrypted it, so
// its entity tag is an MD5
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
func (b *Bucket) holds(ctx context.Context, key, sum, tag string) error {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	out, err := b.api.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &b.name, Key: &key, ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return wrap("sum", key, err)
	}
	same := aws.ToString(out.ChecksumSHA256) == sum
	if out.ChecksumSHA256 == nil {
		same = strings.Trim(aws.ToString(out.ETag), `"`) == tag
	}
	if !same {
		return fmt.Errorf("s3file: %s has other bytes: %w", key, batch.ErrExists)
	}
	return nil
}
