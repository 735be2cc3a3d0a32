package batch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/musketry/musketry/internal/state"
)

// MaxCanceledLines is how many of the requests that were canceled one by one a batch
// names to its workers: they look every 2 seconds, and the batch's item stays
// far below DynamoDB's 400 KB. The answer of one that is named no more comes to
// nothing all the same, since its request has its outcome.
const MaxCanceledLines = 1_000

// PrefixBatchRequest begins the id of a batch's request, OpenAI's.
const PrefixBatchRequest = "batch_req_"

// MaxScan is how many requests one call for a page of them looks through.
const MaxScan = 2_000

// CancelLine names line, whose request was canceled, to the workers, so that they
// abort its call. It is idempotent, and does nothing in a batch whose requests all
// have their outcomes.
func (b *Batch) CancelLine(line int) {
	if b.Sealed || b.Status.Terminal() || slices.Contains(b.CanceledLines, line) {
		return
	}
	kept := b.CanceledLines[max(len(b.CanceledLines)-MaxCanceledLines+1, 0):]
	b.CanceledLines = append(slices.Clone(kept), line)
}

// ParseRequestID returns the line of the request of batchID that id names, and
// whether it can name one.
func ParseRequestID(batchID, id string) (line int, ok bool) {
	digits, ok := strings.CutPrefix(id, requestPrefix(batchID))
	if !ok {
		return 0, false
	}
	line, err := strconv.Atoi(digits)
	return line, err == nil && line > 0 && digits == strconv.Itoa(line)
}

func requestPrefix(batchID string) string {
	return PrefixBatchRequest + strings.TrimPrefix(batchID, PrefixBatch) + "_"
}

// An Outcome says in one word how a request stands, as the wire spells it.
type Outcome string

// The outcomes. A request that a worker has claimed is in progress: it is being
// called, or is about to be.
const (
	OutcomePending    Outcome = "pending"
	OutcomeInProgress Outcome = "in_progress"
	OutcomeCompleted  Outcome = "completed"
	OutcomeFailed     Outcome = "failed"
	OutcomeExpired    Outcome = "expired"
	OutcomeCanceled   Outcome = "cancelled"
)

// Outcomes returns all outcomes, in the order of a request's life.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomePending, OutcomeInProgress, OutcomeCompleted, OutcomeFailed, OutcomeExpired, OutcomeCanceled,
	}
}

// OutcomeOf returns how a request in this state stands.
func OutcomeOf(p state.Phase) Outcome {
	switch p := p.(type) {
	case state.Claimed, state.Processing:
		return OutcomeInProgress
	case state.Completed:
		return OutcomeCompleted
	case state.Failed:
		if p.Reason.Kind() == state.KindExpired {
			return OutcomeExpired
		}
		return OutcomeFailed
	case state.Canceled:
		return OutcomeCanceled
	case state.Pending:
	}
	return OutcomePending
}

// A RequestQuery selects a page of a batch's requests, in the order of lines.
type RequestQuery struct {
	Outcome Outcome // empty: every one
	Reason  string  // as ReasonOf says; empty: whatever it failed for, or did not
	Search  string  // what the custom_id has in it, in upper or lower case; empty: any
	After   int     // the line that the page before ended with; 0: from the start
	Limit   int     // at most so many; at least 1
}

// Filters reports whether q leaves requests out.
func (q RequestQuery) Filters() bool { return q.Outcome != "" || q.Reason != "" || q.Search != "" }

// Wants reports whether q asks for rec, wherever it stands.
func (q RequestQuery) Wants(rec state.Record) bool {
	return (q.Outcome == "" || OutcomeOf(rec.Phase) == q.Outcome) &&
		(q.Reason == "" || ReasonOf(rec.Phase) == q.Reason) &&
		Mentions(rec.Spec.CustomID, q.Search)
}

// Mentions reports whether text has search in it, in upper or lower case.
func Mentions(text, search string) bool {
	return search == "" || strings.Contains(strings.ToLower(text), strings.ToLower(search))
}

// A RequestPage is a page of a batch's requests.
type RequestPage struct {
	Requests []state.Record
	Last     int  // the last line that was looked at; After if none was
	More     bool // there may be more behind Last
}

// A RequestError reports an operation that a request's state forbids.
type RequestError struct {
	Op      string
	Outcome Outcome
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("batch: cannot %s a request with status '%s'", e.Op, e.Outcome)
}
