package batch

import (
	"fmt"
	"strings"
)

// A Gather is how the input file of a retry comes to be: the lines of another
// batch's requests that were not completed, copied from its input file.
type Gather struct {
	From string    // the input file of the batch that is tried again, which is pinned until all is copied
	File Multipart // the file being written; its Line is the last line of that batch that was looked at
}

// RetryFileID returns the id of the input file that a retry makes. It follows
// from the batch's id, so whoever makes it makes the same file.
func RetryFileID(batchID string) string { return PrefixFile + strings.TrimPrefix(batchID, PrefixBatch) }

// Gathering reports whether b's input file is still to be made.
func (b *Batch) Gathering() bool { return b.RetryOf != "" && !b.Gather.File.Done }

// Source returns the id of the file that b was ordered with: its input file, or
// that of the batch it tries again.
func (b *Batch) Source() string {
	if b.RetryOf == "" {
		return b.InputFileID
	}
	return b.Gather.From
}

// Inputs returns the ids of the files that b may pin.
func (b *Batch) Inputs() []string {
	if b.RetryOf == "" {
		return []string{b.InputFileID}
	}
	return []string{b.InputFileID, b.Gather.From}
}

// Retriable returns nil if requests of b can be tried again. It returns a
// *StatusError while b runs, and an *OrderError if none is left to be.
func (b *Batch) Retriable() error {
	switch {
	case !b.Status.Terminal():
		return &StatusError{Op: "retry", Status: b.Status}
	case b.Counts.Total == 0 || !b.Ready():
		return &OrderError{Code: CodeInvalidRequest, Message: fmt.Sprintf(
			"The batch '%s' ended before its requests were accepted. Mend its input file and create a batch of it.", b.ID)}
	case b.Sealed && b.Counts.Completed == b.Counts.Total:
		return &OrderError{Code: CodeInvalidRequest, Message: fmt.Sprintf(
			"All %d requests of the batch '%s' were completed: there is nothing to retry.", b.Counts.Total, b.ID)}
	}
	return nil
}
