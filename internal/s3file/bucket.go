package s3file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// callTime bounds a call, its repeats included; that of a body has a second
	// more for each slowest bytes.
	callTime = 60 * time.Second
	slowest  = 1 << 20

	// pageKeys are the most that one DeleteObjects deletes
	// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html).
	pageKeys = 1000

	contentType = "application/jsonl"
)

// errRange reports a range that no object has.
var errRange = errors.New("s3file: a range begins at 0 or later and is not shorter than 0")

// A Bucket keeps objects in a bucket.
type Bucket struct {
	api  API
	name string
}

// New returns a Bucket of this name.
func New(api API, name string) *Bucket { return &Bucket{api: api, name: name} }

// timed returns ctx with the time for a call that moves n bytes.
func timed(ctx context.Context, n int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTime+time.Duration(n/slowest)*time.Second)
}

// Put stores body under key, in place of what was there.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
	ctx, cancel := timed(ctx, int64(len(body)))
	defer cancel()
	_, err := b.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, Body: bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))), ChecksumSHA256: aws.String(sumOf(body)),
		ContentType: aws.String(contentType),
	})
	return wrap("put", key, err)
}

// PutNew stores body under key if nothing is there, as S3's conditional writes
// do (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
// That the same body is there already is no error. It returns batch.ErrExists if
// another one is, and leaves it.
func (b *Bucket) PutNew(ctx context.Context, key string, body []byte) error {
	ctx, cancel := timed(ctx, int64(len(body)))
	defer cancel()
	_, err := b.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, Body: bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))), ChecksumSHA256: aws.String(sumOf(body)),
		ContentType: aws.String(contentType), IfNoneMatch: aws.String("*"),
	})
	if err = wrap("put", key, err); errors.Is(err, batch.ErrExists) {
		return b.holds(ctx, key, sumOf(body), tagOf(body))
	}
	return err
}

// Read returns the length bytes from offset on. It returns batch.ErrNoObject
// if there is no such object, and io.ErrUnexpectedEOF if it ends before them.
func (b *Bucket) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("%w: %d bytes from %d of %s", errRange, length, offset, key)
	}
	ctx, cancel := timed(ctx, length)
	defer cancel()
	if length == 0 { // a range in HTTP has at least one byte
		return []byte{}, b.reaches(ctx, key, offset)
	}
	out, err := b.api.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.name, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)),
	})
	if err != nil {
		return nil, wrap("read", key, err)
	}
	defer func() { _ = out.Body.Close() }() // what it would report, the reading has
	body := make([]byte, length)
	n, err := io.ReadFull(out.Body, body)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("s3file: %d of %d bytes from %d of %s: %w", n, length, offset, key, io.ErrUnexpectedEOF)
	case err != nil:
		return nil, wrap("read", key, err)
	}
	// An answer to another range than the one asked for would go on.
	if more, _ := out.Body.Read(make([]byte, 1)); more > 0 {
		return nil, fmt.Errorf("s3file: more than %d bytes came from %d of %s", length, offset, key)
	}
	return body, nil
}

// reaches returns io.ErrUnexpectedEOF if key ends before offset.
func (b *Bucket) reaches(ctx context.Context, key string, offset int64) error {
	size, err := b.Size(ctx, key)
	if err == nil && offset > size {
		err = fmt.Errorf("s3file: byte %d of %s, which has %d: %w", offset, key, size, io.ErrUnexpectedEOF)
	}
	return err
}

// Open returns a reader of the bytes from offset on; none if offset is the
// object's end. It reads as they are asked for, until ctx ends or half a minute
// passes without any. It returns batch.ErrNoObject if there is no such object,
// and io.ErrUnexpectedEOF if it ends before offset.
func (b *Bucket) Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, fmt.Errorf("%w: from %d of %s", errRange, offset, key)
	}
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key}
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := b.api.GetObject(ctx, in)
	if err = wrap("open", key, err); errors.Is(err, io.ErrUnexpectedEOF) {
		// S3 has no range that begins at the end.
		if err := b.reaches(ctx, key, offset); err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Size returns the number of bytes of key, or batch.ErrNoObject.
func (b *Bucket) Size(ctx context.Context, key string) (int64, error) {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	out, err := b.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return 0, wrap("size", key, err)
	}
	return aws.ToInt64(out.ContentLength), nil
}

// Delete deletes key; that it is not there is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	_, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	if err = wrap("delete", key, err); isAbsent(err) {
		return nil
	}
	return err
}

// List returns all objects whose names begin with prefix, which must not be
// empty, in the order of their names: a call for each 1,000
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html).
func (b *Bucket) List(ctx context.Context, prefix string) ([]batch.Stored, error) {
	var found []batch.Stored
	err := b.pages(ctx, prefix, func(page []types.Object) error {
		for _, o := range page {
			found = append(found, batch.Stored{Key: aws.ToString(o.Key), Bytes: aws.ToInt64(o.Size)})
		}
		return nil
	})
	return found, err
}

// DeleteAll deletes every object whose name begins with prefix, which must not
// be empty. After an error some may be left.
func (b *Bucket) DeleteAll(ctx context.Context, prefix string) error {
	return b.pages(ctx, prefix, func(page []types.Object) error { return b.deletePage(ctx, page) })
}

// pages calls each with the objects whose names begin with prefix, 1,000 at a
// time.
func (b *Bucket) pages(ctx context.Context, prefix string, each func([]types.Object) error) error {
	if prefix == "" {
		return errors.New("s3file: the empty prefix names everything")
	}
	in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix, MaxKeys: aws.Int32(pageKeys)}
	for {
		out, err := b.list(ctx, in)
		if err != nil {
			return err
		}
		if err := each(out.Contents); err != nil {
			return err
		}
		if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
			return nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

func (b *Bucket) list(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	out, err := b.api.ListObjectsV2(ctx, in)
	return out, wrap("list", aws.ToString(in.Prefix), err)
}

// deletePage deletes at most 1,000 objects.
func (b *Bucket) deletePage(ctx context.Context, objects []types.Object) error {
	if len(objects) == 0 {
		return nil
	}
	ctx, cancel := timed(ctx, 0)
	defer cancel()
	names := make([]types.ObjectIdentifier, len(objects))
	for i, o := range objects {
		names[i].Key = o.Key
	}
	out, err := b.api.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &b.name, Delete: &types.Delete{Objects: names, Quiet: aws.Bool(true)},
	})
	if err != nil {
		return wrap("delete", fmt.Sprintf("%d objects", len(names)), err)
	}
	if n := len(out.Errors); n > 0 {
		return fmt.Errorf("s3file: %d of %d objects were not deleted, first %s: %s",
			n, len(names), aws.ToString(out.Errors[0].Key), aws.ToString(out.Errors[0].Code))
	}
	return nil
}
