package batch

import (
	"fmt"
	"maps"
	"time"
)

const (
	// MaxUsageBatches is how many unfinished batches a tenant can have where
	// they are counted: their ids lie in one item, which stays below DynamoDB's
	// 400 KB (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
	MaxUsageBatches = 5_000
	// leastLine is the least number of bytes that a request takes in an input
	// file, its newline included: the required names and quotes alone have more.
	leastLine = 50
)

// A Limits bounds what of one tenant's may be unfinished at once, and stored. A
// zero field is no limit, but that of MaxUsageBatches and MaxOpenUploads while
// another one is set.
type Limits struct {
	Batches  int
	Requests int
	Bytes    int64 // of files and open uploads
	Uploads  int   // that are open
	Creates  int   // of files, uploads and batches, a minute
}

// None reports whether nothing is bounded.
func (l Limits) None() bool { return l == Limits{} }

// A Usage is what of a tenant's is unfinished, and stored. Stores replace the
// whole, guarded by Rev; a tenant without one has nothing.
type Usage struct {
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
func (u *Usage) Requests() int {
	sum := 0
	for n := range maps.Values(u.Batches) {
		sum += n
	}
	return sum
}

// Take records an unfinished batch of at most so many requests. One that is
// recorded changes nothing. It returns a *LimitError, and changes nothing, if
// that would break a limit.
func (u *Usage) Take(batchID string, requests int, l Limits) error {
	if _, ok := u.Batches[batchID]; ok {
		return nil
	}
	most := MaxUsageBatches
	if l.Batches > 0 {
		most = min(most, l.Batches)
	}
	if n := len(u.Batches); n >= most {
		return &LimitError{Of: LimitBatches, Max: most, Now: n}
	}
	if n := u.Requests(); l.Requests > 0 && n+requests > l.Requests {
		return &LimitError{Of: LimitRequests, Max: l.Requests, Now: n, Asked: requests}
	}
	if u.Batches = maps.Clone(u.Batches); u.Batches == nil {
		u.Batches = map[string]int{}
	}
	u.Batches[batchID] = requests
	return nil
}

// Count records how many requests a batch has. One that is not recorded stays
// so.
func (u *Usage) Count(batchID string, requests int) {
	if _, ok := u.Batches[batchID]; ok {
		u.Batches = maps.Clone(u.Batches)
		u.Batches[batchID] = requests
	}
}

// Drop records that a batch is unfinished no more. Dropping again changes
// nothing.
func (u *Usage) Drop(batchID string) {
	if _, ok := u.Batches[batchID]; ok {
		u.Batches = maps.Clone(u.Batches)
		delete(u.Batches, batchID)
	}
}

// MostRequests returns the most requests that an input file of so many bytes
// can have, and most at most.
func MostRequests(bytes int64, most int) int {
	return int(min(bytes/leastLine+1, int64(most)))
}

// The limits that a LimitError names.
const (
	LimitBatches  = "batches"
	LimitRequests = "requests"
	// LimitBytes is what a tenant's files and open uploads have, LimitUploads the
	// number of these, LimitCreates what it creates in a minute.
	LimitBytes   = "bytes"
	LimitUploads = "uploads"
	LimitCreates = "creates"
	// LimitUploadBytes is what was declared of an upload's bytes, LimitParts the
	// number of its parts.
	LimitUploadBytes = "upload-bytes"
	LimitParts       = "upload-parts"
)

// A LimitError reports what would break a limit of its tenant, or of an upload.
type LimitError struct {
	Of    string // such as LimitBatches
	Max   int
	Now   int           // in use
	Asked int           // how much more; of LimitRequests the most that the batch can have
	After time.Duration // until there is room; 0: nobody knows
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("batch: limit of %s reached: %d of %d in use, %d more asked for", e.Of, e.Now, e.Max, e.Asked)
}
