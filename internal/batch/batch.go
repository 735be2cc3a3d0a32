package batch

import (
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// A Status is a batch's status, spelt as OpenAI spells it on the wire
// (https://platform.openai.com/docs/api-reference/batch/object).
type Status string

// The statuses.
const (
	StatusValidating Status = "validating"
	StatusFailed     Status = "failed"
	StatusInProgress Status = "in_progress"
	StatusFinalizing Status = "finalizing"
	StatusCompleted  Status = "completed"
	StatusExpired    Status = "expired"
	StatusCanceling  Status = "cancelling"
	StatusCanceled   Status = "cancelled"
)

// Statuses returns all statuses, in the order of a batch's life.
func Statuses() []Status {
	return []Status{
		StatusValidating, StatusInProgress, StatusFinalizing, StatusCompleted, StatusFailed, StatusExpired, StatusCanceling, StatusCanceled,
	}
}

// Terminal reports whether nothing leaves s.
func (s Status) Terminal() bool {
	switch s {
	case StatusFailed, StatusCompleted, StatusExpired, StatusCanceled:
		return true
	case StatusValidating, StatusInProgress, StatusFinalizing, StatusCanceling:
		return false
	}
	return false
}

// Counts are numbers of requests. While a batch runs they are sums of the
// workers' counter shards; from the seal on they are counted from the requests
// and frozen, and then Total = Completed + Failed + Expired + Canceled.
type Counts struct {
	Total     int
	Completed int
	Failed    int
	Expired   int
	Canceled  int
}

// Done returns the number of requests that have their outcome.
func (c Counts) Done() int { return c.Completed + c.Failed + c.Expired + c.Canceled }

// Add returns c with the outcome of one more request, which must be terminal.
func (c Counts) Add(p state.Phase) Counts {
	switch p := p.(type) {
	case state.Completed:
		c.Completed++
	case state.Failed:
		if p.Reason.Kind() == state.KindExpired {
			c.Expired++
		} else {
			c.Failed++
		}
	case state.Canceled:
		c.Canceled++
	case state.Pending, state.Claimed, state.Processing:
	}
	return c
}

// Plus returns the sum of c and d, Total included.
func (c Counts) Plus(d Counts) Counts {
	return Counts{
		Total: c.Total + d.Total, Completed: c.Completed + d.Completed, Failed: c.Failed + d.Failed,
		Expired: c.Expired + d.Expired, Canceled: c.Canceled + d.Canceled,
	}
}

// Most returns the larger of c and d, component by component.
func (c Counts) Most(d Counts) Counts {
	return Counts{
		Total: max(c.Total, d.Total), Completed: max(c.Completed, d.Completed), Failed: max(c.Failed, d.Failed),
		Expired: max(c.Expired, d.Expired), Canceled: max(c.Canceled, d.Canceled),
	}
}

// A LoadCursor is how far validation and loading have come.
type LoadCursor struct {
	Validated bool  // pass one is over: Total and Shards are final
	Line      int   // lines that pass two has loaded
	Offset    int64 // the byte of the input at which pass two goes on
}

// A Ref names a batch and its owner.
type Ref struct {
	Tenant string
	ID     string
}

// A Batch is what is stored of a batch. Each field's writer is named by the
// method that sets it; stores replace the whole, guarded by Rev.
type Batch struct {
	Ref
	Rev int64 // the store's: how often the batch was written

	Endpoint           string // the url that every line must name, such as /v1/chat/completions
	InputFileID        string
	RetryOf            string // the batch whose requests that were not completed these are; empty if none
	Gather             Gather // of a retry
	Window             string // the completion window as the user wrote it
	Metadata           map[string]string
	OutputExpiresAfter time.Duration // 0: the default retention
	Policy             retry.Policy
	Models             []string // that the requests name, at most MaxModels; set by validation
	ModelsMixed        bool     // they name more, and Models is empty

	Status        Status
	Errors        []LineError // why the file was refused, at most MaxErrors
	Load          LoadCursor
	Shards        int   // write shards; 0 until validated
	Enqueued      int   // lines whose messages have been sent once
	CanceledLines []int // what their owner canceled one by one, the last MaxCanceledLines, until the seal
	Counts        Counts
	Token         string       // the flow's task token while it is parked; empty otherwise
	Mark          int          // outcomes at which the flow wants to be woken
	Sealed        bool         // every line has its outcome and Counts are final
	Tokens        state.Tokens // the sum of the answers'; zero until the seal, and where no answer told
	WriteOut      WriteOut
	FailCause     string // why the batch will end failed, for a person; empty if all is well

	Reconciled Reconciliation // what the flow of the running batch remembers

	OutputFileID string // set when WriteOut has made it
	ErrorFileID  string

	CreatedAt    time.Time
	Deadline     time.Time
	InProgressAt time.Time
	FinalizingAt time.Time
	CompletedAt  time.Time
	FailedAt     time.Time
	ExpiredAt    time.Time
	CancelingAt  time.Time
	CanceledAt   time.Time
	FailingSince time.Time
	RecountAt    time.Time // when the requests are to be counted again; zero: nobody asks
	RecountedAt  time.Time // when the last count of them began
}

// A WriteOut is how far the writing of the two result files has come. File ids
// are chosen before the first byte is written, so that a repeated step writes
// the same files.
type WriteOut struct {
	OutputID string
	ErrorID  string
	Output   Multipart
	Error    Multipart
	Journal  int // the number of the journal's last entry, once it is whole; 0 before
}

// A Multipart is a file being written in parts.
type Multipart struct {
	UploadID string   // empty before the first part
	Parts    []string // the parts' sums, in order
	Line     int      // the last line of the batch that the parts cover
	Lines    int      // that the parts have
	Bytes    int64    // of the parts; of the file once it is whole
	Digest   Digest   // of the parts
	Done     bool     // the file is whole, and has its record
}

// A StatusError reports an operation that a batch's status forbids.
type StatusError struct {
	Op     string
	Status Status
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("batch: cannot %s a batch with status '%s'", e.Op, e.Status)
}

// Key returns the key of line (counted from 1). It is valid from validation on.
func (b *Batch) Key(line int) state.Key {
	return state.Key{Batch: b.ID, Line: line, Shard: ShardOf(line, b.Shards)}
}

// Spec returns the specification of the request that line (counted from 1) of
// the input is. It is valid from validation on.
func (b *Batch) Spec(line int, in Input, body state.Span) state.Spec {
	return state.Spec{
		Key: b.Key(line), CustomID: in.CustomID, Model: b.ModelIndex(in.Model), Body: body, Deadline: b.Deadline,
		RetryUntil: b.retryUntil(),
	}
}

// retryUntil returns when retries end before the deadline; zero if they do not.
func (b *Batch) retryUntil() time.Time {
	if b.Policy.StopBeforeDeadline <= 0 {
		return time.Time{}
	}
	return stamp(b.Deadline.Add(-b.Policy.StopBeforeDeadline))
}

// Canceling reports whether b was asked to cancel, whatever came of it.
func (b *Batch) Canceling() bool { return !b.CancelingAt.IsZero() }

// Ready reports whether every request of b is stored, so that they can be
// enqueued, or sealed request by request.
func (b *Batch) Ready() bool { return b.Load.Validated && b.Load.Line == b.Counts.Total }

// Overdue reports whether b's deadline has passed by now.
func (b *Batch) Overdue(now time.Time) bool { return !now.Before(b.Deadline) }

// Validated records that every line of the input is well-formed and counts
// them. It is idempotent.
func (b *Batch) Validated(total int) error {
	if b.Load.Validated {
		return nil
	}
	if b.Status != StatusValidating && b.Status != StatusCanceling {
		return &StatusError{Op: "validate", Status: b.Status}
	}
	b.Counts.Total, b.Shards = total, Shards(total)
	b.Load = LoadCursor{Validated: true}
	return nil
}

// Loaded records that pass two has loaded lines up to line, whose successor
// starts at offset, and moves b on to in_progress with the last of them. A
// cursor behind the stored one changes nothing. It returns a *StatusError
// unless b is validated and validating or cancelling.
func (b *Batch) Loaded(line int, offset int64, now time.Time) error {
	if !b.Load.Validated || (b.Status != StatusValidating && b.Status != StatusCanceling) {
		return &StatusError{Op: "load", Status: b.Status}
	}
	if line < b.Load.Line {
		return nil
	}
	b.Load.Line, b.Load.Offset = line, offset
	if line == b.Counts.Total && b.Status == StatusValidating {
		b.Status, b.InProgressAt = StatusInProgress, stamp(now)
	}
	return nil
}

// Cancel asks b to stop. It is idempotent, of a cancelled batch too. It returns a *StatusError if b ended otherwise or is being
// finalized for another reason.
func (b *Batch) Cancel(now time.Time) error {
	switch b.Status {
	case StatusValidating, StatusInProgress:
		b.Status, b.CancelingAt = StatusCanceling, stamp(now)
		return nil
	case StatusCanceling, StatusCanceled:
		return nil
	case StatusFinalizing:
		if b.Canceling() {
			return nil
		}
	case StatusFailed, StatusCompleted, StatusExpired:
	}
	return &StatusError{Op: "cancel", Status: b.Status}
}

// Enqueue records that the messages of lines up to line have been sent.
func (b *Batch) Enqueue(line int) error {
	if b.Status != StatusInProgress {
		return &StatusError{Op: "enqueue", Status: b.Status}
	}
	b.Enqueued = max(b.Enqueued, line)
	return nil
}

// Park records the token that wakes b's flow.
func (b *Batch) Park(token string) error {
	if b.Status.Terminal() {
		return &StatusError{Op: "park", Status: b.Status}
	}
	b.Token = token
	return nil
}

// Seal freezes b's counts, which must be counted from its requests, and moves
// it to finalizing. It is idempotent. It returns a *StatusError if b is terminal, and an error if the counts do not add up to the total.
func (b *Batch) Seal(counts Counts, now time.Time) error {
	if b.Sealed {
		return nil
	}
	if b.Status.Terminal() {
		return &StatusError{Op: "seal", Status: b.Status}
	}
	if counts.Total != b.Counts.Total || counts.Done() != counts.Total {
		return fmt.Errorf("batch: cannot seal: %d of %d requests of %s have an outcome",
			counts.Done(), b.Counts.Total, b.ID)
	}
	b.Sealed, b.Counts, b.Token, b.CanceledLines = true, counts, "", nil
	b.Status, b.FinalizingAt = StatusFinalizing, stamp(now)
	return nil
}

// End moves a sealed and written-out b to its last status: cancelled if it was
// asked to cancel, failed if its flow gave it up, expired if the deadline left
// requests undone, and completed otherwise. It is idempotent.
func (b *Batch) End(now time.Time) error {
	if b.Status.Terminal() {
		return nil
	}
	if !b.Sealed {
		return &StatusError{Op: "end", Status: b.Status}
	}
	b.publish()
	switch {
	case b.Canceling():
		b.Status, b.CanceledAt = StatusCanceled, stamp(now)
	case b.FailCause != "":
		b.Status, b.FailedAt = StatusFailed, stamp(now)
		b.Errors = InternalError(b.FailCause)
	case b.Counts.Expired > 0 || b.Counts.Total == 0:
		b.Status, b.ExpiredAt = StatusExpired, stamp(now)
	default:
		b.Status, b.CompletedAt = StatusCompleted, stamp(now)
	}
	return nil
}

// A FailReason is why a batch ends failed, from which follows when it does.
type FailReason int

// The reasons.
const (
	FailInput FailReason = iota + 1 // its file is bad: at once, and only while it validates
	FailFlow                        // its flow cannot go on: once what was done is sealed and written out
	FailNow                         // nothing is left to write out, or it cannot be: at once
)

// Fail has b end failed because of errs, of which there must be one at least
// where why is FailFlow. The first such error stays. A batch that fails at once
// keeps a result file that is whole, and counts no requests if none was ever sent.
// Fail returns a *StatusError if b is terminal or, where why is FailInput, does
// not validate.
func (b *Batch) Fail(why FailReason, errs []LineError, now time.Time) error {
	if b.Status.Terminal() || why == FailInput && b.Status != StatusValidating {
		return &StatusError{Op: "fail", Status: b.Status}
	}
	if why == FailFlow {
		if b.FailCause == "" {
			b.FailCause, b.FailingSince = errs[0].Message, stamp(now)
		}
		return nil
	}
	b.publish()
	if !b.Sealed && b.InProgressAt.IsZero() {
		b.Counts = Counts{}
	}
	b.Status, b.FailedAt, b.Token = StatusFailed, stamp(now), ""
	b.Errors = errs[:min(len(errs), MaxErrors)]
	return nil
}

// InternalError returns the one error of a batch that fails through no fault of
// its file, with a message that a person can act on.
func InternalError(message string) []LineError {
	return []LineError{{Code: CodeInternal, Message: message}}
}

// publish names the result files that are whole.
func (b *Batch) publish() {
	b.OutputFileID, b.ErrorFileID = "", ""
	if b.WriteOut.Output.Done {
		b.OutputFileID = b.WriteOut.OutputID
	}
	if b.WriteOut.Error.Done {
		b.ErrorFileID = b.WriteOut.ErrorID
	}
}

// stamp cuts t to the precision that stores keep.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
