package execute

import (
	"maps"
	"sync"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// maxShards bounds the batches whose counts a process keeps from one run to the
// next. One that was dropped gets a new shard when it comes back; the old one
// stays as it is.
const maxShards = 512

// claimSuffix is how many of an id's last characters make a claim unique among
// those of one request under one shard: each byte of an item is paid for whenever
// all are read.
const claimSuffix = 12

// shards are a process's absolute counts of each batch that it works for.
type shards struct {
	newID func() string

	mu      sync.Mutex
	turn    uint64
	byBatch map[string]*shard
}

type shard struct {
	batch.CounterShard

	used    uint64 // the turn of its last use
	lagging bool   // it may lack outcomes whose claim ids name it
}

func newShards(newID func() string) *shards {
	return &shards{newID: newID, byBatch: make(map[string]*shard)}
}

// claimID returns a new claim id for a request of batchID. It names the shard
// that will count the outcome, so that a recount knows whose it is.
func (s *shards) claimID(batchID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	unique := s.newID()
	return batch.ClaimID(s.of(batchID).ID, unique[max(len(unique)-claimSuffix, 0):])
}

// of returns the batch's shard; s.mu is held.
func (s *shards) of(batchID string) *shard {
	own, ok := s.byBatch[batchID]
	if !ok {
		own = &shard{CounterShard: batch.CounterShard{ID: s.newID()}}
		s.byBatch[batchID] = own
	}
	s.turn++
	own.used = s.turn
	return own
}

// add counts phases, which this process wrote, and returns the batch's shard. It
// reports whether there was anything to count; a nil phase is nothing.
func (s *shards) add(batchID string, phases []state.Phase) (own batch.CounterShard, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var counts batch.Counts
	for _, p := range phases {
		if p != nil {
			counts, changed = counts.Add(p), true
		}
	}
	if !changed {
		return batch.CounterShard{}, false
	}
	kept := s.of(batchID)
	kept.Counts = kept.Counts.Plus(counts)
	return kept.CounterShard, true
}

// lag says that an outcome of batchID may be stored that is not counted here:
// nobody knows what became of its write. A recount puts the stored shard right,
// but what is counted here is behind it from then on.
func (s *shards) lag(batchID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(batchID).lagging = true
}

// lags reports whether batchID's shard may lack outcomes.
func (s *shards) lags(batchID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of(batchID).lagging
}

// trim forgets the shards that lag and, of too many, those that were not used for
// longest. No request may be claimed under them any more: their outcomes would
// be counted in another.
func (s *shards) trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.byBatch, func(_ string, own *shard) bool { return own.lagging })
	for len(s.byBatch) >= maxShards {
		oldest := ""
		for id, own := range s.byBatch {
			if oldest == "" || own.used < s.byBatch[oldest].used {
				oldest = id
			}
		}
		delete(s.byBatch, oldest)
	}
}
