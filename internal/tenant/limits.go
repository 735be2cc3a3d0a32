package tenant

import (
	"fmt"
	"time"
)

// MaxBatches is how many unfinished batches a tenant can have where they are
// counted: their ids lie in one item, which stays below DynamoDB's 400 KB
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const MaxBatches = 5_000

// Limits bound what a tenant has unfinished and stored at once, and what it
// creates. A zero field is no limit; MaxBatches and MaxOpenUploads hold as soon
// as any field is set.
type Limits struct {
	Batches  int
	Requests int
	Bytes    int64 // of files and open uploads
	Uploads  int   // that are open
	Creates  int   // of files, uploads and batches, a minute
}

// None reports whether nothing is bounded.
func (l Limits) None() bool { return l == Limits{} }

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
	return fmt.Sprintf("tenant: limit of %s reached: %d of %d in use, %d more asked for", e.Of, e.Now, e.Max, e.Asked)
}
