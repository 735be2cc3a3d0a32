package s3file

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	// attempts of a call before its error is returned, with pauses of at most
	// maxPause between them.
	attempts = 8
	maxPause = 5 * time.Second
	// answerTime bounds the wait for an answer to begin, and silence the wait for
	// more of it. The whole is not bounded here: a body may be read for minutes.
	answerTime = 20 * time.Second
	silence    = 30 * time.Second
	// connections that stay open.
	connections = 128
)

// API is what a Bucket uses of S3.
type API interface {
	reads
	writes
	parts
}

type reads interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

type writes interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	DeleteObjects(context.Context, *s3.DeleteObjectsInput, ...func(*s3.Options)) (*s3.DeleteObjectsOutput, error)
}

type parts interface {
	CreateMultipartUpload(
		context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options),
	) (*s3.CreateMultipartUploadOutput, error)
	UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error)
	CompleteMultipartUpload(
		context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options),
	) (*s3.CompleteMultipartUploadOutput, error)
	ListParts(context.Context, *s3.ListPartsInput, ...func(*s3.Options)) (*s3.ListPartsOutput, error)
	AbortMultipartUpload(
		context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options),
	) (*s3.AbortMultipartUploadOutput, error)
}

var _ API = (*s3.Client)(nil)

// NewClient returns a client of S3 that suits a Bucket: it tries again up to 8
// times with jitter, and never waits on a silent connection for more than half
// a minute. At another endpoint than AWS's own, as a local cloud's, buckets have
// no names in DNS, so they stand in the path. optFns come last and may change all
// of it.
//
// It leaves out the SDK's default checksums: a Bucket sends the SHA-256 of each
// body, which S3 verifies and keeps
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).
func NewClient(cfg aws.Config, optFns ...func(*s3.Options)) *s3.Client {
	tune := func(o *s3.Options) {
		o.UsePathStyle = aws.ToString(cfg.BaseEndpoint) != ""
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.Retryer = retry.NewStandard(func(so *retry.StandardOptions) {
			so.MaxAttempts, so.MaxBackoff, so.RateLimiter = attempts, maxPause, ratelimit.None
			// Another conditional write of the same name is under way: afterwards one of the two is there.
			so.Retryables = append(so.Retryables, retry.RetryableErrorCode{
				Codes: map[string]struct{}{"ConditionalRequestConflict": {}},
			})
		})
		if client, ok := buildable(cfg.HTTPClient); ok {
			o.HTTPClient = client.WithTimeout(0).WithReadTimeout(silence).
				WithTransportOptions(func(t *http.Transport) {
					t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
					t.ResponseHeaderTimeout = answerTime
				})
		}
	}
	return s3.NewFromConfig(cfg, append([]func(*s3.Options){tune}, optFns...)...)
}

// buildable returns the SDK's own client, with what the environment makes of it
// (AWS_CA_BUNDLE), and false if the caller chose another.
func buildable(client aws.HTTPClient) (*awshttp.BuildableClient, bool) {
	if client == nil {
		return awshttp.NewBuildableClient(), true
	}
	b, ok := client.(*awshttp.BuildableClient)
	return b, ok
}
