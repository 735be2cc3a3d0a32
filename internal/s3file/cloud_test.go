//go:build e2e

package s3file_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/s3file"
	"github.com/musketry/musketry/internal/storetest"
)

// client returns a client of the local cloud.
func client(t *testing.T) *s3.Client {
	t.Helper()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Fatal("AWS_ENDPOINT_URL names no local cloud")
	}
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Region, cfg.Credentials = "us-east-1", credentials.NewStaticCredentialsProvider("test", "test", "")
	return s3file.NewClient(cfg)
}

// newBucket creates a bucket that goes with the test.
func newBucket(t *testing.T, api *s3.Client) string {
	t.Helper()
	name := "storetest-" + strings.ToLower(rand.Text())
	// The SDK repeats calls whose answers were lost.
	var exists *types.BucketAlreadyOwnedByYou
	_, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	if err != nil && !errors.As(err, &exists) {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeBucket(t, api, name) })
	return name
}

func removeBucket(t *testing.T, api *s3.Client, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	objects, err := api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &name})
	if err != nil {
		t.Error(err)
		return
	}
	for _, o := range objects.Contents {
		if _, err := api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &name, Key: o.Key}); err != nil {
			t.Error(err)
		}
	}
	_, err = api.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
	var gone smithy.APIError
	if err != nil && (!errors.As(err, &gone) || gone.ErrorCode() != "NoSuchBucket") {
		t.Error(err)
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	api := client(t)
	b := s3file.New(api, newBucket(t, api))
	storetest.RunFiles(t, func(*testing.T) storetest.Objects { return b })
}

func TestObjectsHaveAType(t *testing.T) {
	t.Parallel()
	api := client(t)
	name := newBucket(t, api)
	b := s3file.New(api, name)
	if err := b.Put(t.Context(), "put", []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	id, err := b.StartParts(t.Context(), "parts")
	if err != nil {
		t.Fatal(err)
	}
	tag, err := b.PutPart(t.Context(), "parts", id, 1, []byte("{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.FinishParts(t.Context(), "parts", id, []string{tag}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"put", "parts"} {
		out, err := api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &name, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		if got := aws.ToString(out.ContentType); got != "application/jsonl" {
			t.Errorf("%s has type %q, want application/jsonl", key, got)
		}
	}
}

// refusing is S3 when it may not delete one of the objects.
type refusing struct{ s3file.API }

func (r refusing) DeleteObjects(
	ctx context.Context, in *s3.DeleteObjectsInput, opts ...func(*s3.Options),
) (*s3.DeleteObjectsOutput, error) {
	kept := in.Delete.Objects[0].Key
	in.Delete.Objects = in.Delete.Objects[1:]
	out, err := r.API.DeleteObjects(ctx, in, opts...)
	if err == nil {
		out.Errors = append(out.Errors, types.Error{Key: kept, Code: aws.String("AccessDenied")})
	}
	return out, err
}

func TestDeleteAllReportsWhatIsLeft(t *testing.T) {
	t.Parallel()
	api := client(t)
	b := s3file.New(refusing{api}, newBucket(t, api))
	for _, key := range []string{"k/1", "k/2"} {
		if err := b.Put(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	err := b.DeleteAll(t.Context(), "k/")
	if err == nil || !strings.Contains(err.Error(), "k/1") || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("error is %v, want one that names k/1 and AccessDenied", err)
	}
}

// A bucket that is not there is a mistake of the deployment, not an object that
// is absent.
func TestNoBucketIsNoMissingObject(t *testing.T) {
	t.Parallel()
	b := s3file.New(client(t), "storetest-"+strings.ToLower(rand.Text()))
	if err := b.Put(t.Context(), "k", nil); err == nil {
		t.Error("put into a bucket that is not there")
	}
	if _, err := b.Read(t.Context(), "k", 0, 1); err == nil {
		t.Error("read from a bucket that is not there")
	}
}
