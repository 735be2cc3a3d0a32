package memstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/musketry/musketry/internal/batch"
)

// errPage reports a page of no lines, which could never end a listing.
var errPage = errors.New("memstore: a page has at least one entry")

// records are all of one sort, each under its owner and id and guarded by its
// revision.
type records[T any] struct {
	sort string                                   // what an error calls one
	own  func(T) T                                // a copy with memory and times of its own, as stores keep them
	id   func(*T) (owner, id *string, rev *int64) // what only the store sets

	mu  sync.Mutex
	all map[string]map[string]T // by owner and id
}

// create stores v as its first revision, or returns batch.ErrExists.
func (r *records[T]) create(ctx context.Context, v T) error {
	v = r.own(v)
	owner, id, rev := r.id(&v)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: create %s: %w", r.sort, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.all[*owner][*id]; ok {
		return fmt.Errorf("memstore: %s %s: %w", r.sort, *id, batch.ErrExists)
	}
	*rev = 1
	r.put(v)
	return nil
}

// put stores v; r.mu is held.
func (r *records[T]) put(v T) {
	owner, id, _ := r.id(&v)
	if r.all == nil {
		r.all = map[string]map[string]T{}
	}
	if r.all[*owner] == nil {
		r.all[*owner] = map[string]T{}
	}
	r.all[*owner][*id] = v
}

// get returns a record, or batch.ErrNotFound.
func (r *records[T]) get(ctx context.Context, owner, id string) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("memstore: %s: %w", r.sort, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.all[owner][id]
	if !ok {
		return none, fmt.Errorf("memstore: %s %s: %w", r.sort, id, batch.ErrNotFound)
	}
	return r.own(v), nil
}

// update stores what change makes of the record that read returns, and returns
// it. An error of change is returned as it is, and nothing is written; nor is
// anything if change leaves the record as it was. Where another write comes
// first, change is called again with what that one wrote.
func (r *records[T]) update(read func() (T, error), change func(*T) error) (T, error) {
	var none T
	for {
		before, err := read()
		if err != nil {
			return none, err
		}
		changed := r.own(before)
		if err := change(&changed); err != nil {
			return none, err
		}
		after := r.own(changed) // change may have kept its pointer
		owner, id, rev := r.id(&after)
		wasOwner, wasID, wasRev := r.id(&before)
		*owner, *id, *rev = *wasOwner, *wasID, *wasRev
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		*rev++
		if r.swap(after) {
			return r.own(after), nil
		}
	}
}

// swap stores v if the revision before v's is still stored: 0, if nothing is.
func (r *records[T]) swap(v T) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	owner, id, rev := r.id(&v)
	stored := r.all[*owner][*id]
	if _, _, now := r.id(&stored); *now != *rev-1 {
		return false
	}
	r.put(v)
	return true
}

// page returns at most limit (at least 1) of an owner's records that are wanted,
// in order of their ids, and whether there are more.
func (r *records[T]) page(
	ctx context.Context, owner string, limit int, order func(a, b string) int, wanted func(*T) bool,
) ([]T, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("memstore: page of %s: %w", r.sort, err)
	}
	if limit < 1 {
		return nil, false, errPage
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var page []T
	for _, v := range r.all[owner] {
		if wanted(&v) {
			page = append(page, r.own(v))
		}
	}
	slices.SortFunc(page, func(a, b T) int {
		_, left, _ := r.id(&a)
		_, right, _ := r.id(&b)
		return order(*left, *right)
	})
	more := len(page) > limit
	return page[:min(limit, len(page))], more, nil
}

// newestFirst is the order of ids, which sort by time, from the last to the first.
func newestFirst(a, b string) int { return cmp.Compare(b, a) }
