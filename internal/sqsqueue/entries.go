package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// ErrRefused reports an entry that SQS keeps refusing. The error that wraps it
// names the reason's code.
var ErrRefused = errors.New("sqsqueue: SQS refused it")

// An EntriesError reports the entries that failed. All others succeeded.
type EntriesError struct {
	// Failed has why, by the entry's index in what was sent, hidden or deleted:
	// an error wrapping ErrRefused, the context's, the call's, or that there was
	// no answer in time.
	Failed map[int]error
	All    int // how many entries there were
}

func (e *EntriesError) Error() string {
	first := e.indices()[0]
	return fmt.Sprintf("%d of %d entries failed, first %d: %v", len(e.Failed), e.All, first, e.Failed[first])
}

// Unwrap returns what the entries failed with, in their order.
func (e *EntriesError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, i := range e.indices() {
		errs = append(errs, e.Failed[i])
	}
	return errs
}

func (e *EntriesError) indices() []int {
	return slices.Sorted(maps.Keys(e.Failed))
}

// An outcome is what became of a call's entries, whose ids are their indices.
type outcome struct {
	done   []string
	failed []types.BatchResultErrorEntry
}

// outcomeOf returns what an answer says.
func outcomeOf[S any](successful []S, id func(S) *string, failed []types.BatchResultErrorEntry) outcome {
	o := outcome{failed: failed}
	for _, s := range successful {
		o.done = append(o.done, aws.ToString(id(s)))
	}
	return o
}

// each makes calls for all entries, as many at once in each as SQS takes, and
// several calls at a time. harmless says which failures do not matter.
func each[E any](
	ctx context.Context, q *Queue, entries []E, size func(E) int,
	call func(context.Context, []E) (outcome, error), harmless func(types.BatchResultErrorEntry) bool,
) error {
	var (
		calls  sync.WaitGroup
		mu     sync.Mutex
		failed = map[int]error{}
	)
	chunks := chunksOf(entries, size)
	work := make(chan chunk[E], len(chunks))
	for _, c := range chunks {
		work <- c
	}
	close(work)
	callAll := func() {
		for c := range work {
			lost := persist(ctx, q, c, call, harmless)
			mu.Lock()
			maps.Copy(failed, lost)
			mu.Unlock()
		}
	}
	for range min(len(chunks), parallel) - 1 {
		calls.Go(callAll)
	}
	callAll()
	calls.Wait()
	if len(failed) == 0 {
		return nil
	}
	return &EntriesError{Failed: failed, All: len(entries)}
}

// chunksOf returns entries, as many in each chunk as one call takes.
func chunksOf[E any](entries []E, size func(E) int) []chunk[E] {
	var chunks []chunk[E]
	for from := 0; from < len(entries); {
		c := chunk[E]{}
		for range fit(entries[from:], size) {
			c.entries, c.at = append(c.entries, entries[from]), append(c.at, from)
			from++
		}
		chunks = append(chunks, c)
	}
	return chunks
}

// fit returns how many of entries one call takes: one at least.
func fit[E any](entries []E, size func(E) int) int {
	n, bytes := 0, 0
	for n < min(len(entries), maxEntries) && (n == 0 || bytes+size(entries[n]) <= maxBytes) {
		bytes += size(entries[n])
		n++
	}
	return n
}

// A chunk is what one call takes.
type chunk[E any] struct {
	entries []E
	at      []int // the index of each among all
}

func (c chunk[E]) fail(failed map[int]error, err error) {
	for _, i := range c.at {
		failed[i] = err
	}
}

// persist makes one call, and again for what failed in it. It returns why
// entries failed, by their index among all.
func persist[E any](
	ctx context.Context, q *Queue, c chunk[E],
	call func(context.Context, []E) (outcome, error), harmless func(types.BatchResultErrorEntry) bool,
) map[int]error {
	failed := map[int]error{}
	wait := pause
	for attempt := 1; ; attempt++ {
		o, err := timed(ctx, c.entries, call)
		last := attempt == attempts
		if err != nil {
			last = last || !errors.Is(err, errSilence) // the SDK has tried again whatever else there is
		} else {
			c, err = remaining(o, c, harmless, failed)
		}
		if len(c.entries) == 0 {
			return failed
		}
		if last {
			c.fail(failed, fmt.Errorf("tried %d times: %w", attempt, err))
			return failed
		}
		if err := sleep(ctx, time.Duration(float64(wait)*(1-q.config.Random()/2))); err != nil {
			c.fail(failed, err)
			return failed
		}
		wait = min(2*wait, maxPause)
	}
}

// errSilence reports a call that got no answer in its time.
var errSilence = fmt.Errorf("no answer within %v", callTime)

// timed makes one call within its time.
func timed[E any](
	parent context.Context, entries []E, call func(context.Context, []E) (outcome, error),
) (outcome, error) {
	ctx, cancel := context.WithTimeout(parent, callTime)
	defer cancel()
	o, err := call(ctx, entries)
	if err != nil && ctx.Err() != nil && parent.Err() == nil {
		return outcome{}, errSilence
	}
	return o, err
}

// remaining returns the entries of c to try again, and why one of them is: those that failed by SQS's fault, and those of which SQS said
// nothing. Those that failed by ours go to failed.
func remaining[E any](
	o outcome, c chunk[E], harmless func(types.BatchResultErrorEntry) bool, failed map[int]error,
) (retryable chunk[E], why error) {
	done := make(map[string]bool, len(c.entries))
	for _, id := range o.done {
		done[id] = true
	}
	refused := map[string]string{}
	why = fmt.Errorf("%w: no answer for it", ErrRefused)
	for _, e := range o.failed {
		switch {
		case harmless(e):
			done[aws.ToString(e.Id)] = true
		case e.SenderFault:
			refused[aws.ToString(e.Id)] = aws.ToString(e.Code)
		default:
			why = fmt.Errorf("%w: %s", ErrRefused, aws.ToString(e.Code))
		}
	}
	for i, entry := range c.entries {
		id := strconv.Itoa(i)
		if code, ok := refused[id]; ok {
			failed[c.at[i]] = fmt.Errorf("%w: %s", ErrRefused, code)
		} else if !done[id] {
			retryable.entries, retryable.at = append(retryable.entries, entry), append(retryable.at, c.at[i])
		}
	}
	return retryable, why
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	}
}
