package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// updates is how often an update is tried before batch.ErrBusy, with pauses
	// that grow from updatePause to updatePauseMax.
	updates        = 20
	updatePause    = 10 * time.Millisecond
	updatePauseMax = 500 * time.Millisecond
)

// A shape is how one sort of record is stored.
type shape[T any] struct {
	encode func(T) (item, error)
	decode func(item) (T, error)
	// next gives after, which change made of before, the identity of before and
	// its revision plus step.
	next func(before T, after *T, step int64)
}

func (s *Store) batchShape() shape[batch.Batch] {
	return shape[batch.Batch]{
		encode: func(b batch.Batch) (item, error) { return encodeBatch(b, s.retention) },
		decode: decodeBatch,
		next: func(before batch.Batch, after *batch.Batch, step int64) {
			after.Ref, after.Rev = before.Ref, before.Rev+step
		},
	}
}

func fileShape() shape[batch.File] {
	return shape[batch.File]{
		encode: encodeFile,
		decode: decodeFile,
		next: func(before batch.File, after *batch.File, step int64) {
			after.Tenant, after.ID, after.Rev = before.Tenant, before.ID, before.Rev+step
		},
	}
}

func (s *Store) uploadShape() shape[batch.Upload] {
	return shape[batch.Upload]{
		encode: func(u batch.Upload) (item, error) { return encodeUpload(u, s.retention), nil },
		decode: decodeUpload,
		next: func(before batch.Upload, after *batch.Upload, step int64) {
			after.Tenant, after.ID, after.Rev = before.Tenant, before.ID, before.Rev+step
		},
	}
}

// CreateBatch stores b as its first revision, or returns batch.ErrExists. It
// returns an error wrapping ErrTooLarge if b does not fit into an item.
func (s *Store) CreateBatch(ctx context.Context, b batch.Batch) error {
	b.Rev = 1
	return create(ctx, s, s.batchShape(), b)
}

// Batch returns a batch, or batch.ErrNotFound.
func (s *Store) Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	it, err := s.record(ctx, ref.ID, batchKey(ref.Tenant, ref.ID))
	if err != nil {
		return batch.Batch{}, err
	}
	return decodeBatch(it)
}

// UpdateBatch stores what change makes of a batch and returns it. An error of
// change is returned as it is, and nothing is written; nor is anything if
// change leaves the batch as it was. Where another writer is first, change is
// called again with what that one wrote, up to 20 times and with jitter; then
// batch.ErrBusy is returned. It returns batch.ErrNotFound if there is no such
// batch, and an error wrapping ErrTooLarge if it does not fit into an item any
// more.
func (s *Store) UpdateBatch(
	ctx context.Context, ref batch.Ref, change func(*batch.Batch) error,
) (batch.Batch, error) {
	it, err := s.record(ctx, ref.ID, batchKey(ref.Tenant, ref.ID))
	if err != nil {
		return batch.Batch{}, err
	}
	return update(ctx, s, s.batchShape(), it, change)
}

// CreateFile stores f as its first revision, or returns batch.ErrExists.
func (s *Store) CreateFile(ctx context.Context, f batch.File) error {
	if !f.ExpiresAt.IsZero() {
		if err := s.expires(ctx, batch.NewExpiring(f.Tenant, f.ID, f.ExpiresAt)); err != nil {
			return err
		}
	}
	f.Rev = 1
	return create(ctx, s, fileShape(), f)
}

// File returns a file, or batch.ErrNotFound.
func (s *Store) File(ctx context.Context, tenantName, id string) (batch.File, error) {
	it, err := s.record(ctx, id, fileKey(tenantName, id))
	if err != nil {
		return batch.File{}, err
	}
	return decodeFile(it)
}

// UpdateFile does for a file what UpdateBatch does for a batch.
func (s *Store) UpdateFile(
	ctx context.Context, tenantName, id string, change func(*batch.File) error,
) (batch.File, error) {
	it, err := s.record(ctx, id, fileKey(tenantName, id))
	if err != nil {
		return batch.File{}, err
	}
	return update(ctx, s, fileShape(), it, change)
}

// DeleteFile deletes f if it is still at f.Rev. It returns batch.ErrBusy if it
// is at another, and batch.ErrNotFound if it is not there, as after a deletion
// whose answer was lost.
func (s *Store) DeleteFile(ctx context.Context, f batch.File) error {
	err := s.remove(ctx, fileKey(f.Tenant, f.ID), isRev(f.Rev))
	var lost *lostError
	switch {
	case errors.As(err, &lost) && lost.stored == nil:
		return fmt.Errorf("dynamostore: file %s: %w", f.ID, batch.ErrNotFound)
	case lost != nil:
		return fmt.Errorf("dynamostore: file %s has changed: %w", f.ID, batch.ErrBusy)
	}
	return err
}

// CreateUpload stores u as its first revision, or returns batch.ErrExists.
func (s *Store) CreateUpload(ctx context.Context, u batch.Upload) error {
	if err := s.expires(ctx, batch.NewExpiring(u.Tenant, u.ID, u.ExpiresAt())); err != nil {
		return err
	}
	u.Rev = 1
	return create(ctx, s, s.uploadShape(), u)
}

// Upload returns an upload, or batch.ErrNotFound.
func (s *Store) Upload(ctx context.Context, tenantName, id string) (batch.Upload, error) {
	it, err := s.record(ctx, id, uploadKey(tenantName, id))
	if err != nil {
		return batch.Upload{}, err
	}
	return decodeUpload(it)
}

// UpdateUpload does for an upload what UpdateBatch does for a batch.
func (s *Store) UpdateUpload(
	ctx context.Context, tenantName, id string, change func(*batch.Upload) error,
) (batch.Upload, error) {
	it, err := s.record(ctx, id, uploadKey(tenantName, id))
	if err != nil {
		return batch.Upload{}, err
	}
	return update(ctx, s, s.uploadShape(), it, change)
}

// ClaimReceipt stores r unless a receipt of its tenant and key is there that
// lives at r.CreatedAt, and returns the one that is there now.
func (s *Store) ClaimReceipt(ctx context.Context, r batch.Receipt) (batch.Receipt, error) {
	it := encodeReceipt(r)
	err := s.put(ctx, it, isAbsentOrOver(r.CreatedAt))
	var lost *lostError
	switch {
	case errors.As(err, &lost):
		it = lost.stored
	case err != nil:
		return batch.Receipt{}, err
	}
	return decodeReceipt(it)
}

// PutReceipt stores r in place of what was there.
func (s *Store) PutReceipt(ctx context.Context, r batch.Receipt) error {
	return s.put(ctx, encodeReceipt(r), condition{})
}

// record returns the item of a batch, file or upload, or batch.ErrNotFound.
func (s *Store) record(ctx context.Context, id string, k key) (item, error) {
	if id == "" || len(id) > maxName {
		return nil, fmt.Errorf("dynamostore: %.64q: %w", id, batch.ErrNotFound)
	}
	it, err := s.get(ctx, k)
	if err != nil {
		return nil, err
	}
	if it == nil {
		return nil, fmt.Errorf("dynamostore: %.64q: %w", id, batch.ErrNotFound)
	}
	return it, nil
}

// create stores v unless its key is taken by another write than this.
func create[T any](ctx context.Context, s *Store, sh shape[T], v T) error {
	it, err := sh.encode(v)
	if err != nil {
		return err
	}
	mine, err := s.mark()
	if err != nil {
		return err
	}
	it.setString(attrMark, mine)
	err = s.put(ctx, it, isAbsent())
	var lost *lostError
	switch {
	case !errors.As(err, &lost):
		return err
	case lost.stored.has(attrMark, mine):
		return nil // the SDK repeated a write whose answer was lost
	}
	return fmt.Errorf("dynamostore: %w", batch.ErrExists)
}

// update stores what change makes of the record in it.
func update[T any](ctx context.Context, s *Store, sh shape[T], it item, change func(*T) error) (T, error) {
	var none T
	for try := range updates {
		after, next, err := revise(s, sh, it, change)
		if err != nil || next == nil {
			return after, err
		}
		rev := reader{item: it}
		err = s.put(ctx, next, isRev(rev.int64(attrRev)))
		var lost *lostError
		switch {
		case err == nil:
			return after, nil
		case !errors.As(err, &lost):
			return none, err
		case lost.stored == nil:
			return none, fmt.Errorf("dynamostore: deleted meanwhile: %w", batch.ErrNotFound)
		case lost.stored.has(attrMark, next.mark()):
			return after, nil // the SDK repeated a write whose answer was lost
		}
		it = lost.stored
		if try == 0 {
			continue // the winner's write is fresh: most races have two
		}
		if err := s.pause(ctx, try, updatePause, updatePauseMax); err != nil {
			return none, err
		}
		// What won is old after a pause: where many write, it would lose again.
		if it, err = s.get(ctx, keyOf(it)); err != nil {
			return none, err
		}
		if it == nil {
			return none, fmt.Errorf("dynamostore: deleted meanwhile: %w", batch.ErrNotFound)
		}
	}
	return none, fmt.Errorf("dynamostore: lost %d races: %w", updates, batch.ErrBusy)
}

// updateOrCreate is update of the record under k, which is none until something
// was made of it.
func updateOrCreate[T any](
	ctx context.Context, s *Store, sh shape[T], k key, none T, change func(*T) error,
) (T, error) {
	for range updates {
		it, err := s.get(ctx, k)
		if err != nil {
			return none, err
		}
		if it != nil {
			return update(ctx, s, sh, it, change)
		}
		if it, err = sh.encode(none); err != nil {
			return none, err
		}
		first, next, err := revise(s, sh, it, change)
		if err != nil || next == nil {
			return first, err
		}
		err = s.put(ctx, next, isAbsent())
		var lost *lostError
		switch {
		case err == nil:
			return first, nil
		case !errors.As(err, &lost):
			return none, err
		case lost.stored.has(attrMark, next.mark()):
			return first, nil // the SDK repeated a write whose answer was lost
		}
	}
	return none, fmt.Errorf("dynamostore: lost %d races: %w", updates, batch.ErrBusy)
}

// revise returns what change makes of the record in it and the item to store
// for it, nil if the record stays as it was.
func revise[T any](s *Store, sh shape[T], it item, change func(*T) error) (T, item, error) {
	var none T
	before, err := sh.decode(it)
	if err != nil {
		return none, nil, err
	}
	after, err := sh.decode(it) // once more: change may write into its maps and slices
	if err != nil {
		return none, nil, err
	}
	if err := change(&after); err != nil {
		return none, nil, err
	}
	sh.next(before, &after, 0)
	same, err := sh.encode(after)
	if err != nil {
		return none, nil, err
	}
	if same.equalButMark(it) {
		return before, nil, nil
	}
	sh.next(before, &after, 1)
	next, err := sh.encode(after)
	if err != nil {
		return none, nil, err
	}
	mine, err := s.mark()
	if err != nil {
		return none, nil, err
	}
	next.setString(attrMark, mine)
	after, err = sh.decode(next) // as a later reading will show it
	return after, next, err
}

func (it item) mark() string {
	r := reader{item: it}
	return r.string(attrMark)
}

// has reports whether it's string attribute is v.
func (it item) has(name, v string) bool {
	s, ok := it[name].(*types.AttributeValueMemberS)
	return ok && s.Value == v
}

// equalButMark reports whether it and stored hold the same, marks and expiry
// apart.
func (it item) equalButMark(stored item) bool {
	bare := func(it item) item {
		it = maps.Clone(it)
		delete(it, attrMark)
		delete(it, attrTTL)
		return it
	}
	return reflect.DeepEqual(bare(it), bare(stored))
}
