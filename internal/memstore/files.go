package memstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/musketry/musketry/internal/batch"
)

// The bounds of a part, S3's own
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
const (
	minPart  = 5 << 20 // bytes; the last part may be smaller
	maxParts = 10_000
)

var (
	errRange = errors.New("memstore: the range does not lie within the object")
	errPart  = errors.New("memstore: the part does not fit its upload")
)

// Files keeps objects of bytes by name.
type Files struct {
	mu      sync.Mutex
	objects map[string][]byte   // a stored slice is never written again
	made    map[string][]string // the sums of the parts of which an object was made
	uploads map[string]upload
	started int
}

// An upload is an object being written in parts.
type upload struct {
	key   string
	parts map[int][]byte
}

// NewFiles returns empty Files.
func NewFiles() *Files {
	return &Files{objects: map[string][]byte{}, made: map[string][]string{}, uploads: map[string]upload{}}
}

// Put stores body under key, in place of what was there.
func (f *Files) Put(ctx context.Context, key string, body []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: put %s: %w", key, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[key] = bytes.Clone(body)
	delete(f.made, key)
	return nil
}

// PutNew stores body under key if nothing is there. That the same body is there
// already is no error. It returns batch.ErrExists if another one is, and leaves
// it.
func (f *Files) PutNew(ctx context.Context, key string, body []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: put %s: %w", key, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.storeNew(key, bytes.Clone(body))
}

// storeNew stores body, which is key's from now on, if nothing else is there.
func (f *Files) storeNew(key string, body []byte) error {
	there, ok := f.objects[key]
	switch {
	case !ok:
		f.objects[key] = body
	case !bytes.Equal(there, body):
		return fmt.Errorf("memstore: %s has other bytes: %w", key, batch.ErrExists)
	}
	return nil
}

// object returns the bytes of key, which must not be written to.
func (f *Files) object(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: read %s: %w", key, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	body, ok := f.objects[key]
	if !ok {
		return nil, fmt.Errorf("memstore: %s: %w", key, batch.ErrNoObject)
	}
	return body, nil
}

// Read returns the length bytes from offset on. It returns batch.ErrNoObject
// if there is no such object, and io.ErrUnexpectedEOF if it ends before them.
func (f *Files) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("%w: %d bytes from %d of %s", errRange, length, offset, key)
	}
	body, err := f.object(ctx, key)
	if err != nil {
		return nil, err
	}
	if size := int64(len(body)); offset > size || length > size-offset {
		return nil, fmt.Errorf("memstore: %d bytes from %d of %s, which has %d: %w",
			length, offset, key, size, io.ErrUnexpectedEOF)
	}
	return append([]byte{}, body[offset:offset+length]...), nil
}

// Open returns a reader of the bytes from offset on; none if offset is the
// object's end. It returns batch.ErrNoObject if there is no such object, and
// io.ErrUnexpectedEOF if it ends before offset.
func (f *Files) Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, fmt.Errorf("%w: from %d of %s", errRange, offset, key)
	}
	body, err := f.object(ctx, key)
	if err != nil {
		return nil, err
	}
	if offset > int64(len(body)) {
		return nil, fmt.Errorf("memstore: byte %d of %s, which has %d: %w",
			offset, key, len(body), io.ErrUnexpectedEOF)
	}
	return &reading{ctx: ctx, bytes: bytes.NewReader(body[offset:])}, nil
}

// A reading is an open object. Like a response's body it ends with its context.
type reading struct {
	ctx   context.Context // as a response's body has its request's
	bytes *bytes.Reader
}

func (r *reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("memstore: read on: %w", err)
	}
	return r.bytes.Read(p)
}

func (r *reading) Close() error { return nil }

// Size returns the number of bytes of key, or batch.ErrNoObject.
func (f *Files) Size(ctx context.Context, key string) (int64, error) {
	body, err := f.object(ctx, key)
	return int64(len(body)), err
}

// Holds reports whether key's object was put whole and is body. It returns
// batch.ErrNoObject if there is no such object.
func (f *Files) Holds(ctx context.Context, key string, body []byte) (bool, error) {
	there, err := f.object(ctx, key)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, joined := f.made[key]
	return !joined && bytes.Equal(there, body), nil
}

// List returns all objects whose names begin with prefix, which must not be
// empty, in the order of their names.
func (f *Files) List(ctx context.Context, prefix string) ([]batch.Stored, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: list %s: %w", prefix, err)
	}
	if prefix == "" {
		return nil, errors.New("memstore: list: the empty prefix names everything")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []batch.Stored
	for key, body := range f.objects {
		if strings.HasPrefix(key, prefix) {
			found = append(found, batch.Stored{Key: key, Bytes: int64(len(body))})
		}
	}
	slices.SortFunc(found, func(a, b batch.Stored) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// Delete deletes key; that it is not there is no error.
func (f *Files) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: delete %s: %w", key, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.objects, key)
	delete(f.made, key)
	return nil
}

// DeleteAll deletes every object whose name begins with prefix, which must not
// be empty.
func (f *Files) DeleteAll(ctx context.Context, prefix string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: delete all of %s: %w", prefix, err)
	}
	if prefix == "" {
		return errors.New("memstore: delete all: the empty prefix names everything")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.objects {
		if strings.HasPrefix(key, prefix) {
			delete(f.objects, key)
			delete(f.made, key)
		}
	}
	return nil
}

// Keys returns the names of all objects, in order.
func (f *Files) Keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := make([]string, 0, len(f.objects))
	for key := range f.objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// StartParts begins an upload of key in parts. Nothing is there to be read
// before FinishParts.
func (f *Files) StartParts(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("memstore: start parts of %s: %w", key, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started++
	id := "upload-" + strconv.Itoa(f.started)
	f.uploads[id] = upload{key: key, parts: map[int][]byte{}}
	return id, nil
}

// PutPart stores part n, from 1 to 10,000, of an upload, in place of an earlier
// one, and returns its sum, which depends on the bytes alone. Every part but the
// last has at least 5 MiB, or FinishParts refuses them. It returns
// batch.ErrNoObject if there is no such upload any more.
func (f *Files) PutPart(ctx context.Context, key, uploadID string, n int, body []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("memstore: put part of %s: %w", key, err)
	}
	if n < 1 || n > maxParts {
		return "", fmt.Errorf("%w: part %d of %s", errPart, n, key)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	up, ok := f.uploads[uploadID]
	if !ok || up.key != key {
		return "", fmt.Errorf("memstore: no upload %s of %s: %w", uploadID, key, batch.ErrNoObject)
	}
	up.parts[n] = bytes.Clone(body)
	return sumOf(body), nil
}

// FinishParts makes the parts, whose sums stand in order, one object if nothing
// is there. That the same parts have become it already, by a call whose answer
// was lost or by another upload, is no error. It returns batch.ErrExists if
// another object is there, and leaves it, and batch.ErrNoObject if there is
// neither upload nor object.
func (f *Files) FinishParts(ctx context.Context, key, uploadID string, sums []string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: finish parts of %s: %w", key, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	up, ok := f.uploads[uploadID]
	if !ok || up.key != key {
		made, joined := f.made[key]
		_, there := f.objects[key]
		switch {
		case joined && slices.Equal(made, sums):
			return nil
		case there:
			return fmt.Errorf("memstore: %s has other bytes: %w", key, batch.ErrExists)
		}
		return fmt.Errorf("memstore: no upload %s of %s: %w", uploadID, key, batch.ErrNoObject)
	}
	whole, err := up.assemble(sums)
	if err != nil {
		return err
	}
	if err := f.storeNew(key, whole); err != nil {
		return err
	}
	f.made[key] = slices.Clone(sums)
	delete(f.uploads, uploadID)
	return nil
}

func (u upload) assemble(sums []string) ([]byte, error) {
	if len(sums) == 0 {
		return nil, fmt.Errorf("%w: %s has no parts", errPart, u.key)
	}
	var whole []byte
	for i, sum := range sums {
		part, ok := u.parts[i+1]
		switch {
		case !ok || sumOf(part) != sum:
			return nil, fmt.Errorf("%w: part %d of %s is not the one that was put", errPart, i+1, u.key)
		case i < len(sums)-1 && len(part) < minPart:
			return nil, fmt.Errorf("%w: part %d of %s has %d bytes", errPart, i+1, u.key, len(part))
		}
		whole = append(whole, part...)
	}
	return whole, nil
}

// AbortParts forgets an upload; that there is none is no error.
func (f *Files) AbortParts(ctx context.Context, key, uploadID string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: abort parts of %s: %w", key, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.uploads[uploadID].key == key {
		delete(f.uploads, uploadID)
	}
	return nil
}

func sumOf(part []byte) string {
	sum := sha256.Sum256(part)
	return hex.EncodeToString(sum[:16])
}
