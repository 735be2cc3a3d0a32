package batch

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// pinGrace is how long a file's pin may be without its batch: acceptance takes
// seconds, and a pin that is older was left by a crash.
const pinGrace = 10 * time.Minute

// A Purpose is what a file is for, as OpenAI names it
// (https://platform.openai.com/docs/api-reference/files/object).
type Purpose string

// The purposes that this system gives files of its own. Users may upload files
// for others, too; only these take part in batches.
const (
	PurposeBatch       Purpose = "batch"
	PurposeBatchOutput Purpose = "batch_output"
)

// A File is what is stored of a file. Stores replace the whole, guarded by Rev.
type File struct {
	Tenant    string
	ID        string
	Rev       int64
	Name      string
	Purpose   Purpose
	Bytes     int64
	SHA256    string // of its bytes, in hex; empty: not known
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	PinnedBy  []string  // ids of batches that need it: a pinned file is neither deleted nor expires
	Batch     string    // of a result file: whose results it has
}

// A FileQuery selects a page of a tenant's files, ordered by creation.
type FileQuery struct {
	Purpose Purpose // empty: every purpose
	After   string  // the id of the last file of the page before; empty: from the start
	Limit   int     // at most so many; at least 1
	Oldest  bool    // oldest first; newest first otherwise
}

// Expired reports whether f's life is over by now, and no batch pins it.
func (f *File) Expired(now time.Time) bool {
	return !f.ExpiresAt.IsZero() && !now.Before(f.ExpiresAt) && len(f.PinnedBy) == 0
}

// Pin keeps f from deletion while a batch needs it. It is idempotent.
func (f *File) Pin(batchID string) {
	if !slices.Contains(f.PinnedBy, batchID) {
		f.PinnedBy = append(slices.Clone(f.PinnedBy), batchID)
	}
}

// Unpin takes batches' pins off f. It is idempotent.
func (f *File) Unpin(batchIDs ...string) {
	f.PinnedBy = slices.DeleteFunc(slices.Clone(f.PinnedBy), func(id string) bool { return slices.Contains(batchIDs, id) })
}

// A Find returns a batch, or ErrNotFound if there is none.
type Find func(ref Ref) (Batch, error)

// Orphans returns the pins of f that no batch needs any more: of batches that have
// ended, and of ones that never came to be. An error of find is returned as it is.
func (f *File) Orphans(now time.Time, find Find) ([]string, error) {
	var orphans []string
	for _, id := range f.PinnedBy {
		b, err := find(Ref{Tenant: f.Tenant, ID: id})
		switch {
		case errors.Is(err, ErrNotFound):
			if accepted, ok := ParseID(PrefixBatch, id); !ok || now.Sub(accepted) > pinGrace {
				orphans = append(orphans, id)
			}
		case err != nil:
			return nil, err
		case b.Status.Terminal():
			orphans = append(orphans, id)
		}
	}
	return orphans, nil
}

// Unfinished reports whether f is a result of a batch that has not ended, whose
// other result may be written still, of segments that are erased with f. An error
// of find is returned as it is.
func (f *File) Unfinished(find Find) (bool, error) {
	if f.Batch == "" {
		return false, nil
	}
	b, err := find(Ref{Tenant: f.Tenant, ID: f.Batch})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && !b.Status.Terminal(), err
}

// A Download is how a browser saves an object.
type Download struct {
	Name string // of the file
	Type string // its Content-Type
}

// ObjectKey returns the name under which f's bytes are stored.
func (f *File) ObjectKey() string { return FileKey(f.Tenant, f.ID) }

// FileKey returns the name under which a file's bytes are stored.
func FileKey(tenant, id string) string { return fmt.Sprintf("tenants/%s/files/%s", tenant, id) }

// SegmentsKey returns what the names of all segments of a batch's answers begin
// with.
func SegmentsKey(batchID string) string { return fmt.Sprintf("batches/%s/segments/", batchID) }

// SegmentKey returns the name of a segment of a batch's answers.
func SegmentKey(batchID, segment string) string {
	return fmt.Sprintf("batches/%s/segments/%s", batchID, segment)
}
