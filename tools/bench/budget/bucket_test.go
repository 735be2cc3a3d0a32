package budget_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/musketry/musketry/internal/s3file"
)

const (
	// getTime and putTime are what a request of S3 takes before its bytes, which come and go at objectRate a second.
	getTime, putTime = 30 * time.Millisecond, 60 * time.Millisecond
	objectRate       = 80 << 20
)

// A bucket is S3's.
type bucket struct {
	meter *meter

	mu      sync.Mutex
	objects map[string][]byte
	uploads map[string]map[int32][]byte
}

var _ s3file.API = (*bucket)(nil)

func newBucket(m *meter) *bucket {
	return &bucket{meter: m, objects: map[string][]byte{}, uploads: map[string]map[int32][]byte{}}
}

func moving(n int) time.Duration { return time.Duration(n) * time.Second / objectRate }

func tag(body []byte) *string {
	sum := sha256.Sum256(body)
	return aws.String(`"` + hex.EncodeToString(sum[:]) + `"`)
}

func (b *bucket) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	b.mu.Lock()
	body, ok := b.objects[*in.Key]
	b.mu.Unlock()
	if !ok {
		return nil, &types.NoSuchKey{}
	}
	from, to := 0, len(body)
	if span, ranged := strings.CutPrefix(aws.ToString(in.Range), "bytes="); ranged {
		first, last, _ := strings.Cut(span, "-")
		from, _ = strconv.Atoi(first)
		if n, err := strconv.Atoi(last); err == nil {
			to = min(n+1, to)
		}
	}
	if from > to {
		return nil, fmt.Errorf("budget: no bytes at %d of %s", from, *in.Key)
	}
	if err := sleep(ctx, spread(getTime)+moving(to-from)); err != nil {
		return nil, err
	}
	out := &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(body[from:to])), ContentLength: aws.Int64(int64(to - from))}
	b.meter.called(ctx, "S3.GetObject", in, out, nil)
	return out, nil
}

func (b *bucket) HeadObject(ctx context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	if err := sleep(ctx, spread(getTime)); err != nil {
		return nil, err
	}
	b.mu.Lock()
	body, ok := b.objects[*in.Key]
	b.mu.Unlock()
	b.meter.called(ctx, "S3.HeadObject", in, &s3.HeadObjectOutput{}, nil)
	if !ok {
		return nil, &types.NotFound{}
	}
	return &s3.HeadObjectOutput{ContentLength: aws.Int64(int64(len(body))), ETag: tag(body)}, nil
}

func (b *bucket) ListObjectsV2(
	ctx context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options),
) (*s3.ListObjectsV2Output, error) {
	if err := sleep(ctx, spread(getTime)); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &s3.ListObjectsV2Output{}
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if strings.HasPrefix(key, *in.Prefix) && key > aws.ToString(in.ContinuationToken) {
			if len(out.Contents) == int(*in.MaxKeys) {
				out.IsTruncated, out.NextContinuationToken = aws.Bool(true), out.Contents[len(out.Contents)-1].Key
				break
			}
			out.Contents = append(out.Contents, types.Object{Key: &key, Size: aws.Int64(int64(len(b.objects[key])))})
		}
	}
	b.meter.called(ctx, "S3.ListObjectsV2", in, out, nil)
	return out, nil
}

func (b *bucket) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	body, err := io.ReadAll(in.Body)
	if err == nil {
		err = sleep(ctx, spread(putTime)+moving(len(body)))
	}
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.objects[*in.Key] = body
	b.mu.Unlock()
	b.meter.called(ctx, "S3.PutObject", in, &s3.PutObjectOutput{}, nil)
	return &s3.PutObjectOutput{ETag: tag(body)}, nil
}

func (b *bucket) DeleteObject(
	ctx context.Context, in *s3.DeleteObjectInput, _ ...func(*s3.Options),
) (*s3.DeleteObjectOutput, error) {
	b.mu.Lock()
	delete(b.objects, *in.Key)
	b.mu.Unlock()
	b.meter.called(ctx, "S3.DeleteObject", in, &s3.DeleteObjectOutput{}, nil)
	return &s3.DeleteObjectOutput{}, sleep(ctx, spread(getTime))
}

func (b *bucket) DeleteObjects(
	ctx context.Context, in *s3.DeleteObjectsInput, _ ...func(*s3.Options),
) (*s3.DeleteObjectsOutput, error) {
	b.mu.Lock()
	for _, o := range in.Delete.Objects {
		delete(b.objects, *o.Key)
	}
	b.mu.Unlock()
	b.meter.called(ctx, "S3.DeleteObjects", in, &s3.DeleteObjectsOutput{}, nil)
	return &s3.DeleteObjectsOutput{}, sleep(ctx, spread(putTime))
}

func (b *bucket) CreateMultipartUpload(
	ctx context.Context, in *s3.CreateMultipartUploadInput, _ ...func(*s3.Options),
) (*s3.CreateMultipartUploadOutput, error) {
	b.mu.Lock()
	id := strconv.Itoa(len(b.uploads) + 1)
	b.uploads[id] = map[int32][]byte{}
	b.mu.Unlock()
	b.meter.called(ctx, "S3.CreateMultipartUpload", in, &s3.CreateMultipartUploadOutput{}, nil)
	return &s3.CreateMultipartUploadOutput{UploadId: &id}, sleep(ctx, spread(putTime))
}

func (b *bucket) UploadPart(
	ctx context.Context, in *s3.UploadPartInput, _ ...func(*s3.Options),
) (*s3.UploadPartOutput, error) {
	body, err := io.ReadAll(in.Body)
	if err == nil {
		err = sleep(ctx, spread(putTime)+moving(len(body)))
	}
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.uploads[*in.UploadId][*in.PartNumber] = body
	b.mu.Unlock()
	b.meter.called(ctx, "S3.UploadPart", in, &s3.UploadPartOutput{}, nil)
	return &s3.UploadPartOutput{ETag: tag(body)}, nil
}

func (b *bucket) CompleteMultipartUpload(
	ctx context.Context, in *s3.CompleteMultipartUploadInput, _ ...func(*s3.Options),
) (*s3.CompleteMultipartUploadOutput, error) {
	b.mu.Lock()
	var body []byte
	for _, p := range in.MultipartUpload.Parts {
		body = append(body, b.uploads[*in.UploadId][*p.PartNumber]...)
	}
	b.objects[*in.Key] = body
	b.mu.Unlock()
	b.meter.called(ctx, "S3.CompleteMultipartUpload", in, &s3.CompleteMultipartUploadOutput{}, nil)
	return &s3.CompleteMultipartUploadOutput{}, sleep(ctx, spread(putTime))
}

func (b *bucket) ListParts(ctx context.Context, in *s3.ListPartsInput, _ ...func(*s3.Options)) (*s3.ListPartsOutput, error) {
	out := &s3.ListPartsOutput{}
	b.mu.Lock()
	for _, n := range slices.Sorted(maps.Keys(b.uploads[*in.UploadId])) {
		sum := sha256.Sum256(b.uploads[*in.UploadId][n])
		out.Parts = append(out.Parts, types.Part{
			PartNumber: aws.Int32(n), ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
		})
	}
	b.mu.Unlock()
	b.meter.called(ctx, "S3.ListParts", in, out, nil)
	return out, sleep(ctx, spread(getTime))
}

func (b *bucket) AbortMultipartUpload(
	ctx context.Context, in *s3.AbortMultipartUploadInput, _ ...func(*s3.Options),
) (*s3.AbortMultipartUploadOutput, error) {
	b.meter.called(ctx, "S3.AbortMultipartUpload", in, &s3.AbortMultipartUploadOutput{}, nil)
	return &s3.AbortMultipartUploadOutput{}, sleep(ctx, spread(putTime))
}
