package tenant

import (
	"maps"
	"time"
)

// A Quota lists a tenant's unfinished batches and their request counts, and what
// it has stored, so that its Limits can be checked without reading all of that.
// Stores replace the whole, guarded by Rev; a tenant without a stored one has an
// empty one.
type Quota struct {
	Tenant    string
	Rev       int64
	Batches   map[string]int // each unfinished batch's requests; until they are counted the most there can be
	CheckedAt time.Time      // when the batches were last held against their records

	FileBytes int64                   // of the files that there were at CountedAt
	CountedAt time.Time               // zero: never
	Changes   map[string]StoredChange // of files since, by id
	Uploads   map[string]int64        // declared bytes of the open uploads, by id

	Minute  time.Time // of the last create
	Creates int       // in that minute
}

// Requests returns the sum of the batches' requests.
func (q *Quota) Requests() int {
	sum := 0
	for n := range maps.Values(q.Batches) {
		sum += n
	}
	return sum
}

// AddBatch lists an unfinished batch of at most so many requests. It is
// idempotent. It returns a *LimitError, and changes nothing, if
// that would break a limit.
func (q *Quota) AddBatch(batchID string, requests int, l Limits) error {
	if _, ok := q.Batches[batchID]; ok {
		return nil
	}
	most := MaxBatches
	if l.Batches > 0 {
		most = min(most, l.Batches)
	}
	if n := len(q.Batches); n >= most {
		return &LimitError{Of: LimitBatches, Max: most, Now: n}
	}
	if n := q.Requests(); l.Requests > 0 && n+requests > l.Requests {
		return &LimitError{Of: LimitRequests, Max: l.Requests, Now: n, Asked: requests}
	}
	if q.Batches = maps.Clone(q.Batches); q.Batches == nil {
		q.Batches = map[string]int{}
	}
	q.Batches[batchID] = requests
	return nil
}

// SetRequests records how many requests a listed batch has.
func (q *Quota) SetRequests(batchID string, requests int) {
	if _, ok := q.Batches[batchID]; ok {
		q.Batches = maps.Clone(q.Batches)
		q.Batches[batchID] = requests
	}
}

// RemoveBatch takes a batch off the list. It is idempotent.
func (q *Quota) RemoveBatch(batchID string) {
	if _, ok := q.Batches[batchID]; ok {
		q.Batches = maps.Clone(q.Batches)
		delete(q.Batches, batchID)
	}
}
