package memstore

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// A Store keeps requests, workers, counter shards, batches, files, uploads,
// receipts, keys and models.
type Store struct {
	mu       sync.Mutex
	requests map[string]map[int]state.Record // by batch and line
	workers  map[string]state.Worker
	counters map[string]map[string]batch.CounterShard // by batch and counter shard
	journals map[string][]batch.Entry                 // by batch, in their order
	keys     map[string]tenant.Key
	uses     map[string]tenant.KeyUse // by tenant and hash
	receipts map[receiptKey]batch.Receipt
	running  map[string]batch.Running // by batch
	expiring []batch.Expiring         // the first to end first
	models   map[string]route.Model   // by pattern
	acts     map[string]tenant.Act    // by id

	batches   *records[batch.Batch]
	files     *records[batch.File]
	uploads   *records[batch.Upload]
	histories *records[batch.History]
	quotas    *records[tenant.Quota]
	allowance *records[batch.Allowance]
	limits    *records[limit.Record]
}

// NewStore returns an empty Store.
func NewStore() *Store {
	return &Store{
		requests: map[string]map[int]state.Record{},
		workers:  map[string]state.Worker{},
		counters: map[string]map[string]batch.CounterShard{},
		journals: map[string][]batch.Entry{},
		keys:     map[string]tenant.Key{},
		uses:     map[string]tenant.KeyUse{},
		receipts: map[receiptKey]batch.Receipt{},
		running:  map[string]batch.Running{},
		models:   map[string]route.Model{},
		acts:     map[string]tenant.Act{},

		batches: newBatches(), files: newFileRecords(), uploads: newUploads(),
		histories: newHistories(), quotas: newQuotas(), allowance: newAllowance(), limits: newLimits(),
	}
}

// Apply makes c durable. It returns a *state.ConflictError, which names the
// winner, if the stored request is not what c's guard demands, and nil if that
// is because c was applied already.
func (s *Store) Apply(ctx context.Context, c state.Change) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: apply: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(c)
}

// ApplyAll makes changes durable, each as Apply does and whatever becomes of the
// others, and returns their errors. It returns state.ErrGroup for all of them, and
// applies none, if they cannot be applied in one call.
func (s *Store) ApplyAll(ctx context.Context, cs []state.Change) []error {
	errs := make([]error, len(cs))
	if err := cmp.Or(ctx.Err(), state.CheckGroup(cs)); err != nil {
		for i := range errs {
			errs[i] = fmt.Errorf("memstore: apply: %w", err)
		}
		return errs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range cs {
		errs[i] = s.apply(c)
	}
	return errs
}

// apply makes c durable; s.mu is held.
func (s *Store) apply(c state.Change) error {
	if c.To() == nil {
		return fmt.Errorf("memstore: apply: %w", state.ErrNotTransitioned)
	}
	key := c.Spec().Key
	stored := s.requests[key.Batch][key.Line]
	switch {
	case stored.Guard() == c.Guard():
		rec := c.Record()
		if stored.Phase != nil {
			rec.Spec = stored.Spec // no transition changes it
		}
		s.put(rec)
		return nil
	case c.AppliedIn(stored.Phase):
		return nil
	}
	return &state.ConflictError{Key: key, Guard: c.Guard(), Winner: stored}
}

// Create inserts the requests that cs create, any number of them. A request
// that exists already, or comes earlier in cs, is left alone. It returns an
// error, and inserts nothing, if a change's guard is not absence.
func (s *Store) Create(ctx context.Context, cs []state.Change) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: create: %w", err)
	}
	for _, c := range cs {
		if c.To() == nil || c.Guard() != (state.Guard{}) {
			return fmt.Errorf("memstore: create: the change of line %d is not a creation", c.Spec().Key.Line)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range cs {
		key := c.Spec().Key
		if s.requests[key.Batch][key.Line].Phase == nil {
			s.put(c.Record())
		}
	}
	return nil
}

// put stores rec; s.mu is held.
func (s *Store) put(rec state.Record) {
	key := rec.Spec.Key
	if s.requests[key.Batch] == nil {
		s.requests[key.Batch] = map[int]state.Record{}
	}
	s.requests[key.Batch][key.Line] = rec
}

// Request returns the request under k, or state.ErrNotFound.
func (s *Store) Request(ctx context.Context, k state.Key) (state.Record, error) {
	if err := ctx.Err(); err != nil {
		return state.Record{}, fmt.Errorf("memstore: request: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.requests[k.Batch][k.Line]
	if !ok || rec.Spec.Key != k {
		return state.Record{}, fmt.Errorf("memstore: line %d of %s: %w", k.Line, k.Batch, state.ErrNotFound)
	}
	return rec, nil
}

// Requests returns a batch's requests whose line is above afterLine, in the
// order of their lines, each as it is when its turn comes. After an error
// there is nothing more.
func (s *Store) Requests(
	ctx context.Context, batchID string, shards, afterLine int,
) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		lines := s.lines(batchID, shards, afterLine)
		for i := 0; ; i++ {
			if err := ctx.Err(); err != nil {
				yield(state.Record{}, fmt.Errorf("memstore: requests of %s: %w", batchID, err))
				return
			}
			if i >= len(lines) {
				return
			}
			s.mu.Lock()
			rec := s.requests[batchID][lines[i]]
			s.mu.Unlock()
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// lines returns the lines above after of a batch's requests in its shards.
func (s *Store) lines(batchID string, shards, after int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []int
	for line, rec := range s.requests[batchID] {
		if line > after && rec.Spec.Key.Shard < max(shards, 1) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// Beat records w's heartbeat.
func (s *Store) Beat(ctx context.Context, w state.Worker) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: beat: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.BeatAt, w.LetGo = stamp(w.BeatAt), own(w.LetGo)
	s.workers[w.ID] = w
	return nil
}

// Worker returns a worker's last heartbeat; its BeatAt is zero if there never
// was one.
func (s *Store) Worker(ctx context.Context, id string) (state.Worker, error) {
	if err := ctx.Err(); err != nil {
		return state.Worker{}, fmt.Errorf("memstore: worker: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[id]
	w.ID, w.LetGo = id, own(w.LetGo)
	return w, nil
}

// PutCounter raises a counter shard's absolute counts to c's, component by
// component: none ever falls.
func (s *Store) PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: put counter: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counters[batchID] == nil {
		s.counters[batchID] = map[string]batch.CounterShard{}
	}
	c.Counts = c.Counts.Most(s.counters[batchID][c.ID].Counts)
	c.Counts.Total = 0
	s.counters[batchID][c.ID] = c
	return nil
}

// Counters returns a batch's counter shards in the order of their ids.
func (s *Store) Counters(ctx context.Context, batchID string) ([]batch.CounterShard, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: counters: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	counters := slices.Collect(maps.Values(s.counters[batchID]))
	slices.SortFunc(counters, func(a, b batch.CounterShard) int { return cmp.Compare(a.ID, b.ID) })
	return counters, nil
}

// Progress returns the sum of a batch's counter shards. Its Total is 0.
func (s *Store) Progress(ctx context.Context, batchID string) (batch.Counts, error) {
	counters, err := s.Counters(ctx, batchID)
	return batch.Sum(counters), err
}

// Key returns the key of a hash. It returns tenant.ErrUnknownKey if there is
// none, or if it was revoked.
func (s *Store) Key(ctx context.Context, hash string) (tenant.Key, error) {
	if err := ctx.Err(); err != nil {
		return tenant.Key{}, fmt.Errorf("memstore: key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[hash]
	if !ok || !k.RevokedAt.IsZero() {
		return tenant.Key{}, fmt.Errorf("memstore: %w", tenant.ErrUnknownKey)
	}
	return k, nil
}

// PutKey stores k in place of what was stored under its hash.
func (s *Store) PutKey(ctx context.Context, k tenant.Key) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: put key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k.CreatedAt, k.RevokedAt, k.ExpiresAt = stamp(k.CreatedAt), stamp(k.RevokedAt), stamp(k.ExpiresAt)
	s.keys[k.Hash] = k
	return nil
}

// Keys returns a tenant's keys, revoked ones too, in the order of their making;
// every tenant's where tenantName is empty.
func (s *Store) Keys(ctx context.Context, tenantName string) ([]tenant.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: keys: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []tenant.Key
	for _, k := range s.keys {
		if tenantName == "" || k.Tenant == tenantName {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b tenant.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Hash, b.Hash))
	})
	return keys, nil
}

// NoteKeyUse records that a key was used on u's day. It is idempotent, and leaves a
// later day as it is.
func (s *Store) NoteKeyUse(ctx context.Context, u tenant.KeyUse) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: note a key's use: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.Day = tenant.Day(u.Day)
	if was, known := s.uses[u.Tenant+"#"+u.Hash]; !known || was.Day.Before(u.Day) {
		s.uses[u.Tenant+"#"+u.Hash] = u
	}
	return nil
}

// KeyUses returns on which day each key of a tenant's was last used, in the order of
// their hashes.
func (s *Store) KeyUses(ctx context.Context, tenantName string) ([]tenant.KeyUse, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: key uses: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var uses []tenant.KeyUse
	for _, u := range s.uses {
		if u.Tenant == tenantName {
			uses = append(uses, u)
		}
	}
	slices.SortFunc(uses, func(a, b tenant.KeyUse) int { return cmp.Compare(a.Hash, b.Hash) })
	return uses, nil
}

// own returns a copy of list, as stores keep what may be empty: then it is nil.
func own[T any](list []T) []T { return append([]T(nil), list...) }

// stamp cuts t to the precision that every store keeps, milliseconds in UTC.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}
