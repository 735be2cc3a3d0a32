package s3file

import (
	"context"
	"fmt"
	"mime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/musketry/musketry/internal/batch"
)

// A Presigner makes addresses under which anyone may read an object for a
// while, of any size and straight from S3.
type Presigner struct {
	client *s3.PresignClient
	name   string
}

// NewPresigner returns a Presigner of a bucket.
func NewPresigner(client *s3.Client, bucket string) *Presigner {
	return &Presigner{client: s3.NewPresignClient(client), name: bucket}
}

// Presign returns an address that works for life, at most 7 days and no longer
// than the credentials that sign it
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html).
// The object is saved as d says, and never shown.
func (p *Presigner) Presign(ctx context.Context, key string, d batch.Download, life time.Duration) (string, error) {
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": d.Name})
	signed, err := p.client.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: &p.name, Key: &key, ResponseContentDisposition: &disposition, ResponseContentType: &d.Type,
		ResponseCacheControl: aws.String("no-store"),
	}, s3.WithPresignExpires(life))
	if err != nil {
		return "", fmt.Errorf("s3file: presign: %w", err)
	}
	return signed.URL, nil
}
