package state_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/state"
)

// epoch is when the tests' lives begin. It is odd in every way that a store
// does not keep: finer than a millisecond, and not in UTC.
func epoch() time.Time {
	return time.Date(2031, 5, 17, 23, 59, 58, 123_456_789, time.FixedZone("odd", 5*3600+1800))
}

const (
	window = 2 * time.Hour
	stop   = 90 * time.Minute // before the deadline no retry starts
)

func spec() state.Spec {
	return state.Spec{
		Key:      state.Key{Batch: "batch_a", Line: 7, Shard: 3},
		CustomID: "line-7",
		Body:     state.Span{Offset: 100, Length: 50},
		Deadline: epoch().Add(window), RetryUntil: epoch().Add(window - stop),
	}
}

// ms is the precision that stores keep.
func ms(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// A shelf is the smallest store: one request, and Apply as every store has it.
type shelf struct {
	stored state.Record
	writes int
}

func (s *shelf) Apply(c state.Change) error {
	var now state.Guard
	if s.stored.Phase != nil {
		now = guardOf(s.stored.Phase)
	}
	switch {
	case now == c.Guard():
		s.stored = c.Record()
		s.writes++
		return nil
	case c.AppliedIn(s.stored.Phase):
		return nil
	}
	return &state.ConflictError{Key: c.Spec().Key, Guard: c.Guard(), Winner: s.stored}
}

// guardOf returns the status and claim id under which p is stored.
func guardOf(p state.Phase) state.Guard {
	switch p := p.(type) {
	case state.Pending:
		return state.Guard{Status: state.StatusPending, ClaimID: p.ClaimID}
	case state.Claimed:
		return state.Guard{Status: state.StatusClaimed, ClaimID: p.Lease.ClaimID}
	case state.Processing:
		return state.Guard{Status: state.StatusProcessing, ClaimID: p.Lease.ClaimID}
	case state.Completed:
		return state.Guard{Status: state.StatusCompleted, ClaimID: p.ClaimID}
	case state.Failed:
		return state.Guard{Status: state.StatusFailed, ClaimID: p.ClaimID}
	case state.Canceled:
		return state.Guard{Status: state.StatusCanceled, ClaimID: p.ClaimID}
	}
	return state.Guard{}
}

// timesOf returns every instant that p keeps.
func timesOf(p state.Phase) []time.Time {
	switch p := p.(type) {
	case state.Pending:
		return []time.Time{p.NotBefore}
	case state.Claimed:
		return []time.Time{p.Lease.Expires, p.ClaimedAt}
	case state.Processing:
		return []time.Time{p.Lease.Expires, p.ClaimedAt, p.StartedAt}
	case state.Completed:
		return []time.Time{p.ClaimedAt, p.StartedAt, p.CompletedAt}
	case state.Failed:
		return []time.Time{p.ClaimedAt, p.StartedAt, p.FailedAt}
	case state.Canceled:
		return []time.Time{p.CanceledAt}
	}
	return nil
}

// A life is a request as the model knows it, next to the one in the store. The
// model never reads what a transition returned.
type life struct {
	shelf shelf
	now   time.Time
	ids   int // claim ids given out

	// The model.
	status    state.Status
	attempt   int
	reclaims  int
	claim     string
	notBefore time.Time
	claimedAt time.Time
	startedAt time.Time
	last      string

	history []state.Change // what was applied, in order
}

func (l *life) lease() state.Lease {
	l.ids++
	return state.Lease{
		ClaimID: fmt.Sprintf("claim-%d", l.ids), Worker: fmt.Sprintf("worker-%d", l.ids), Expires: l.now.Add(15 * time.Minute),
	}
}

func (l *life) overdue() bool { return !l.now.Before(ms(spec().Deadline)) }

// late reports whether the next attempt may not start any more.
func (l *life) late() bool {
	return l.overdue() || l.attempt > 0 && !l.now.Before(ms(spec().RetryUntil))
}

// apply writes a change made from the present reading, which must succeed.
func apply[S state.State](t *rapid.T, l *life, r state.Request[S]) {
	t.Helper()
	c, err := r.Change()
	if err != nil {
		t.Fatalf("Change of %s: %v", r.Phase().Status(), err)
	}
	wantGuard := state.Guard{}
	if l.shelf.stored.Phase != nil {
		wantGuard = guardOf(l.shelf.stored.Phase)
	}
	if c.From() != l.shelf.stored.Phase {
		t.Fatalf("made from %+v, want what was read, %+v", c.From(), l.shelf.stored.Phase)
	}
	if c.Guard() != wantGuard {
		t.Fatalf("guard %+v, want what was read, %+v", c.Guard(), wantGuard)
	}
	if err := l.shelf.Apply(c); err != nil {
		t.Fatalf("Apply: %v", err)
	}
	l.history = append(l.history, c)
}

// read gives the stored request its type, the model's.
func read[S state.State](t *rapid.T, l *life) state.Request[S] {
	t.Helper()
	r, err := state.As[S](l.shelf.stored)
	if err != nil {
		t.Fatalf("As: %v", err)
	}
	if _, err := r.Change(); !errors.Is(err, state.ErrNotTransitioned) {
		t.Fatalf("a request just read has a change: %v", err)
	}
	return r
}

// refused demands err, where it is to be expected, and ends the action.
func refused(t *rapid.T, expect bool, got, want error) {
	t.Helper()
	if !expect {
		if got != nil {
			t.Fatalf("refused: %v", got)
		}
		return
	}
	if !errors.Is(got, want) {
		t.Fatalf("error %v, want %v", got, want)
	}
	t.Skip("refused, as it should be")
}

func (l *life) passTime(t *rapid.T) {
	step := rapid.OneOf(
		rapid.Int64Range(0, int64(3*time.Second)),
		rapid.Int64Range(0, int64(3*time.Millisecond)),
		rapid.Just(int64(10*time.Minute)),
	).Draw(t, "step")
	l.now = l.now.Add(time.Duration(step))
}

func (l *life) claimed(lease state.Lease) {
	l.status, l.claim, l.claimedAt, l.startedAt = state.StatusClaimed, lease.ClaimID, ms(l.now), time.Time{}
}

func (l *life) doClaim(t *rapid.T) state.Request[state.Claimed] {
	r := read[state.Pending](t, l)
	lease := l.lease()
	early := l.now.Before(l.notBefore)
	c, err := state.Claim(r, lease, l.now)
	if early {
		refused(t, true, err, state.ErrTooEarly)
	}
	refused(t, l.late(), err, state.ErrDeadline)
	l.claimed(lease)
	return c
}

func (l *life) Claim(t *rapid.T) { apply(t, l, l.doClaim(t)) }

// ClaimStart is the one write from pending to processing.
func (l *life) ClaimStart(t *rapid.T) {
	p, err := state.Start(l.doClaim(t), l.now)
	if err != nil {
		t.Fatal(err)
	}
	l.status, l.startedAt = state.StatusProcessing, ms(l.now)
	apply(t, l, p)
}

// ClaimStored goes on from a claim that was applied without reading it again.
func (l *life) ClaimStored(t *rapid.T) {
	c := l.doClaim(t)
	apply(t, l, c)
	p, err := state.Start(c.Stored(), l.now)
	if err != nil {
		t.Fatal(err)
	}
	l.status, l.startedAt = state.StatusProcessing, ms(l.now)
	apply(t, l, p)
}

func (l *life) Start(t *rapid.T) {
	p, err := state.Start(read[state.Claimed](t, l), l.now)
	refused(t, l.late(), err, state.ErrDeadline)
	l.status, l.startedAt = state.StatusProcessing, ms(l.now)
	apply(t, l, p)
}

func reclaim[S state.Leased](t *rapid.T, l *life, r state.Request[S]) {
	if _, err := state.Reclaim(r, state.Lease{ClaimID: "never"}, l.now, state.LossNone); !errors.Is(err, state.ErrLeaseHeld) {
		t.Fatalf("Reclaim of a lease that holds: %v", err)
	}
	lease := l.lease()
	loss := rapid.SampledFrom([]state.Loss{state.LossEnded, state.LossStale, state.LossDead}).Draw(t, "loss")
	c, err := state.Reclaim(r, lease, l.now, loss)
	refused(t, l.overdue(), err, state.ErrDeadline)
	l.claimed(lease)
	if loss != state.LossEnded {
		l.reclaims++
	}
	apply(t, l, c)
}

func (l *life) ReclaimClaimed(t *rapid.T)    { reclaim(t, l, read[state.Claimed](t, l)) }
func (l *life) ReclaimProcessing(t *rapid.T) { reclaim(t, l, read[state.Processing](t, l)) }

func (l *life) Release(t *rapid.T) {
	r := state.Release(read[state.Claimed](t, l))
	l.status, l.notBefore = state.StatusPending, time.Time{}
	apply(t, l, r)
}

func (l *life) Complete(t *rapid.T) {
	r := read[state.Processing](t, l)
	if !rapid.Bool().Draw(t, "now") { // rare enough for lives to last
		t.Skip("not yet")
	}
	l.status = state.StatusCompleted
	apply(t, l, state.Complete(r, state.Result{
		StatusCode: 200, Answer: state.Span{Object: "segment", Length: 9}, Model: "m",
	}, l.now))
}

func retryables() []state.Reason {
	return []state.Reason{
		state.RetryableHTTPStatus{Status: 429},
		state.Timeout{Error: "slow"},
		state.NetworkError{Error: "reset"},
		state.TaskTerminated{Error: "boom"},
	}
}

func permanents() []state.Reason {
	return []state.Reason{
		state.NonRetryableHTTPStatus{Status: 400},
		state.RequestBuilderError{Error: "no url"},
		state.ResponseTooLarge{Limit: 10},
		state.ErrorInBody{Status: 200},
		state.TaskTerminated{Deaths: 5},
	}
}

func fail[S state.Leased](t *rapid.T, l *life, r state.Request[S], reasons []state.Reason) state.Request[state.Failed] {
	reason := rapid.SampledFrom(reasons).Draw(t, "reason")
	return state.Fail(r, state.Failure{Reason: reason, Model: "m"}, l.now)
}

func (l *life) FailClaimed(t *rapid.T) {
	r := read[state.Claimed](t, l)
	if !rapid.Bool().Draw(t, "now") {
		t.Skip("not yet")
	}
	f := fail(t, l, r, permanents())
	l.status = state.StatusFailed
	apply(t, l, f)
}

func (l *life) FailProcessing(t *rapid.T) {
	r := read[state.Processing](t, l)
	if !rapid.Bool().Draw(t, "now") {
		t.Skip("not yet")
	}
	f := fail(t, l, r, permanents())
	if _, err := state.Retry(f, l.now); !errors.Is(err, state.ErrNotRetryable) {
		t.Fatalf("Retry of a permanent failure: %v", err)
	}
	if _, err := state.Deny(f, state.Refusal{Why: state.DenialDeadline}); !errors.Is(err, state.ErrNotRetryable) {
		t.Fatalf("Deny of a permanent failure: %v", err)
	}
	l.status = state.StatusFailed
	apply(t, l, f)
}

// Retry is the one write from processing back to pending.
func (l *life) Retry(t *rapid.T) {
	f := fail(t, l, read[state.Processing](t, l), retryables())
	if _, err := f.Change(); !errors.Is(err, state.ErrUndecided) {
		t.Fatalf("Change of an undecided failure: %v", err)
	}
	at := l.now.Add(time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "wait")))
	r, err := state.Retry(f, at)
	rounded := ms(at)
	if rounded.Before(at) {
		rounded = rounded.Add(time.Millisecond)
	}
	refused(t, !rounded.Before(ms(spec().RetryUntil)), err, state.ErrDeadline)
	l.status, l.notBefore, l.last = state.StatusPending, rounded, f.Phase().Reason.String()
	l.attempt++
	apply(t, l, r)
}

func (l *life) Deny(t *rapid.T) {
	r := read[state.Processing](t, l)
	if !rapid.Bool().Draw(t, "now") {
		t.Skip("not yet")
	}
	why := rapid.SampledFrom([]state.Denial{state.DenialDeadline, state.DenialMaxRetries}).Draw(t, "why")
	f, err := state.Deny(fail(t, l, r, retryables()), state.Refusal{Why: why})
	if err != nil {
		t.Fatal(err)
	}
	if f.Phase().Denial != why {
		t.Fatalf("denial %q, want %q", f.Phase().Denial, why)
	}
	if _, err := state.Retry(f, l.now); !errors.Is(err, state.ErrNotRetryable) {
		t.Fatalf("Retry of a denied failure: %v", err)
	}
	l.status = state.StatusFailed
	apply(t, l, f)
}

// DenyLate fails a retry that nobody may claim any more.
func (l *life) DenyLate(t *rapid.T) { l.denyLate(t, read[state.Pending](t, l)) }

func (l *life) denyLate(t *rapid.T, r state.Request[state.Pending]) {
	id := l.lease().ClaimID
	f, err := state.Deny(r, state.Refusal{Why: state.DenialDeadline, ClaimID: id, Model: "m", At: l.now})
	refused(t, l.attempt == 0 || !l.late(), err, state.ErrNotLate)
	l.status, l.claim = state.StatusFailed, id
	apply(t, l, f)
}

// ReclaimDeny is the one write that fails a retry whose worker was lost. It waits
// until no retry may start.
func (l *life) ReclaimDeny(t *rapid.T) {
	r := read[state.Processing](t, l)
	if l.attempt == 0 {
		t.Skip("it is no retry")
	}
	if end := spec().RetryUntil; l.now.Before(end) {
		l.now = end
	}
	lease := l.lease()
	c, err := state.Reclaim(r, lease, l.now, state.LossDead)
	refused(t, l.overdue(), err, state.ErrDeadline)
	if _, err := state.Start(c, l.now); !errors.Is(err, state.ErrDeadline) {
		t.Fatalf("Start of a late retry: %v", err)
	}
	l.reclaims++
	l.denyLate(t, state.Release(c))
}

func end[S state.Active](t *rapid.T, l *life, r state.Request[S]) {
	switch rapid.IntRange(0, 8).Draw(t, "end") { // mostly not, for lives to last
	case 0:
		l.status = state.StatusCanceled
		apply(t, l, state.Cancel(r, l.now))
	case 1:
		l.status = state.StatusFailed
		apply(t, l, state.Expire(r, l.now))
	case 2:
		l.status = state.StatusFailed
		apply(t, l, state.Terminate(r, 5, l.now))
	default:
		t.Skip("not yet")
	}
}

func (l *life) EndPending(t *rapid.T)    { end(t, l, read[state.Pending](t, l)) }
func (l *life) EndClaimed(t *rapid.T)    { end(t, l, read[state.Claimed](t, l)) }
func (l *life) EndProcessing(t *rapid.T) { end(t, l, read[state.Processing](t, l)) }

// Check holds the stored request against the model, and all that was ever
// written against the stored request.
func (l *life) Check(t *rapid.T) {
	stored := l.shelf.stored
	if want := (state.Guard{Status: l.status, ClaimID: l.claim}); guardOf(stored.Phase) != want {
		t.Fatalf("stored %+v, want %+v", guardOf(stored.Phase), want)
	}
	wantSpec := spec()
	wantSpec.Deadline, wantSpec.RetryUntil = ms(wantSpec.Deadline), ms(wantSpec.RetryUntil)
	if diff := cmp.Diff(wantSpec, stored.Spec); diff != "" {
		t.Fatalf("the specification changed (-want +got):\n%s", diff)
	}
	for _, at := range append(timesOf(stored.Phase), stored.Spec.Deadline, stored.Spec.RetryUntil) {
		if at != ms(at) { // not Equal: the zone and the monotonic clock must be gone, too
			t.Fatalf("%s keeps %v, want milliseconds in UTC", l.status, at)
		}
	}
	l.checkPhase(t, stored.Phase)
	if len(l.history) != l.shelf.writes {
		t.Fatalf("%d writes of %d changes", l.shelf.writes, len(l.history))
	}
	for i, c := range l.history {
		if own, last := c.AppliedIn(stored.Phase), i == len(l.history)-1; own != last {
			t.Fatalf("AppliedIn of change %d of %d (to %s) in %+v: %t", i+1, len(l.history), c.To().Status(), stored.Phase, own)
		}
	}
}

func (l *life) checkPhase(t *rapid.T, p state.Phase) {
	var got, want any
	switch p := p.(type) {
	case state.Pending:
		got, want = p, state.Pending{
			Attempt: l.attempt, NotBefore: l.notBefore, ClaimID: l.claim, Reclaims: l.reclaims, Last: l.last,
		}
	case state.Claimed:
		got = []any{p.Attempt, p.Reclaims, p.Last, p.ClaimedAt}
		want = []any{l.attempt, l.reclaims, l.last, l.claimedAt}
	case state.Processing:
		got = []any{p.Attempt, p.Reclaims, p.Last, p.ClaimedAt, p.StartedAt}
		want = []any{l.attempt, l.reclaims, l.last, l.claimedAt, l.startedAt}
	case state.Completed:
		got = []any{p.Attempt, p.ClaimedAt, p.StartedAt, p.CompletedAt}
		want = []any{l.attempt, l.claimedAt, l.startedAt, ms(l.now)}
	case state.Failed:
		got = []any{p.Attempt, p.Reclaims, p.FailedAt}
		want = []any{l.attempt, l.reclaims, ms(l.now)}
	case state.Canceled:
		got, want = []any{p.Attempt, p.CanceledAt}, []any{l.attempt, ms(l.now)}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("a %s request (-want +got):\n%s", l.status, diff)
	}
}

// TestLife lives random lives until each step was taken to each end.
func TestLife(t *testing.T) {
	t.Parallel()
	const rounds = 50 // three have been enough, mostly
	left := map[string]bool{}
	for from, steps := range (&life{}).steps() {
		for _, step := range steps {
			for _, to := range step.to {
				left[fmt.Sprint(from, " ", step.name, " ", to)] = true
			}
		}
	}
	for round := range rounds {
		live(t, round, left)
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("no life took %v", left)
}

// live lives a round of lives, and strikes out of left what they took. Rounds differ also where rapid is given a seed.
func live(t *testing.T, round int, left map[string]bool) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		for range round {
			rapid.Uint64().Draw(t, "what an earlier round has drawn")
		}
		l := &life{now: epoch(), status: state.StatusPending}
		apply(t, l, state.New(spec()))
		l.Check(t)
		steps := l.steps()
		t.Repeat(map[string]func(*rapid.T){
			"": l.Check,
			"step": func(t *rapid.T) {
				if l.status.Terminal() {
					l.stay(t)
					return
				}
				l.passTime(t)
				from := l.status
				next := rapid.SampledFrom(steps[from]).Draw(t, "transition")
				next.take(t)
				delete(left, fmt.Sprint(from, " ", next.name, " ", l.status))
			},
		})
	})
}

// A step is a transition, or several that are one write, and whereto it leads.
type step struct {
	name string
	take func(*rapid.T)
	to   []state.Status
}

// GoString names s in a failed life's transcript.
func (s step) GoString() string { return s.name }

// steps returns all steps by the state that they leave.
func (l *life) steps() map[state.Status][]step {
	const (
		pending, claimed, processing = state.StatusPending, state.StatusClaimed, state.StatusProcessing
		completed, failed, canceled  = state.StatusCompleted, state.StatusFailed, state.StatusCanceled
	)
	to := func(s ...state.Status) []state.Status { return s }
	return map[state.Status][]step{
		pending: {
			{"Claim", l.Claim, to(claimed)},
			{"Claim, Start", l.ClaimStart, to(processing)},
			{"Claim, stored, Start", l.ClaimStored, to(processing)},
			{"Deny", l.DenyLate, to(failed)},
			{"end", l.EndPending, to(canceled, failed)},
		},
		claimed: {
			{"Start", l.Start, to(processing)},
			{"Release", l.Release, to(pending)},
			{"Reclaim", l.ReclaimClaimed, to(claimed)},
			{"Fail", l.FailClaimed, to(failed)},
			{"end", l.EndClaimed, to(canceled, failed)},
		},
		processing: {
			{"Complete", l.Complete, to(completed)},
			{"Fail", l.FailProcessing, to(failed)},
			{"Retry", l.Retry, to(pending)},
			{"Deny", l.Deny, to(failed)},
			{"Reclaim", l.ReclaimProcessing, to(claimed)},
			{"Reclaim, Release, Deny", l.ReclaimDeny, to(failed)},
			{"end", l.EndProcessing, to(canceled, failed)},
		},
		completed: nil,
		failed:    nil,
		canceled:  nil,
	}
}

// stay tries every way out of a terminal state. There must be none.
func (l *life) stay(t *rapid.T) {
	for _, err := range leaves(l.shelf.stored) {
		var wrong *state.StatusError
		if !errors.As(err, &wrong) || wrong.Got != l.status {
			t.Fatalf("a way leads out of %s: %v", l.status, err)
		}
	}
}

// leaves tries to read rec in every state that some transition leaves.
func leaves(rec state.Record) []error {
	_, pending := state.As[state.Pending](rec)
	_, claimed := state.As[state.Claimed](rec)
	_, processing := state.As[state.Processing](rec)
	errs := []error{pending, claimed, processing}
	if f, err := state.As[state.Failed](rec); err == nil { // stored failures are beyond Retry and Deny
		if _, err := state.Retry(f, time.Time{}); !errors.Is(err, state.ErrNotRetryable) {
			errs = append(errs, fmt.Errorf("Retry: %w", err))
		}
		if _, err := state.Deny(f, state.Refusal{Why: state.DenialDeadline}); !errors.Is(err, state.ErrNotRetryable) {
			errs = append(errs, fmt.Errorf("Deny: %w", err))
		}
	}
	return errs
}

// rivals returns every change that can be made from one reading.
func rivals(t *rapid.T, rec state.Record, now time.Time) []state.Change {
	var all []state.Change
	lease := func(i int) state.Lease {
		return state.Lease{ClaimID: fmt.Sprintf("rival-%d", i), Worker: "w", Expires: now.Add(time.Minute)}
	}
	switch rec.Phase.Status() {
	case state.StatusPending:
		r := must(state.As[state.Pending](rec))
		for i := range 3 {
			c := must(state.Claim(r, lease(i), now))
			all = append(all, changeOf(t, c), changeOf(t, must(state.Start(must(state.Claim(r, lease(i+10), now)), now))))
		}
		all = append(all, endings(t, r, now)...)
	case state.StatusClaimed:
		r := must(state.As[state.Claimed](rec))
		all = append(all,
			changeOf(t, state.Release(r)), changeOf(t, must(state.Start(r, now))),
			changeOf(t, state.Fail(r, state.Failure{Reason: state.RequestBuilderError{}}, now)),
			changeOf(t, must(state.Reclaim(r, lease(0), now, state.LossDead))),
			changeOf(t, must(state.Reclaim(r, lease(1), now, state.LossEnded))))
		all = append(all, endings(t, r, now)...)
	case state.StatusProcessing:
		r := must(state.As[state.Processing](rec))
		panicked := state.Fail(r, state.Failure{Reason: state.TaskTerminated{Error: "boom"}}, now)
		all = append(all,
			changeOf(t, state.Complete(r, state.Result{StatusCode: 200}, now)),
			changeOf(t, must(state.Retry(panicked, now.Add(time.Second)))),
			changeOf(t, must(state.Deny(panicked, state.Refusal{Why: state.DenialMaxRetries}))),
			changeOf(t, must(state.Reclaim(r, lease(0), now, state.LossStale))),
			changeOf(t, must(state.Reclaim(r, lease(1), now, state.LossEnded))))
		all = append(all, endings(t, r, now)...)
	case state.StatusCompleted, state.StatusFailed, state.StatusCanceled:
		t.Fatal("no change is made of a terminal request")
	}
	return all
}

func endings[S state.Active](t *rapid.T, r state.Request[S], now time.Time) []state.Change {
	return []state.Change{
		changeOf(t, state.Cancel(r, now)), changeOf(t, state.Expire(r, now)), changeOf(t, state.Terminate(r, 5, now)),
	}
}

func changeOf[S state.State](t *rapid.T, r state.Request[S]) state.Change {
	t.Helper()
	c, err := r.Change()
	if err != nil {
		t.Fatalf("Change: %v", err)
	}
	return c
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestRace lets all changes that one reading allows race in every order: one
// wins, every other is told so, and only the winner takes it for its own.
func TestRace(t *testing.T) {
	t.Parallel()
	now := epoch()
	pending := state.New(spec()).Stored()
	claimed := must(state.Claim(pending, state.Lease{ClaimID: "first", Worker: "w", Expires: now}, now)).Stored()
	processing := must(state.Start(claimed, now)).Stored()
	starts := []state.Record{pending.Record(), claimed.Record(), processing.Record()}

	rapid.Check(t, func(t *rapid.T) {
		rec := rapid.SampledFrom(starts).Draw(t, "start")
		racers := rapid.Permutation(rivals(t, rec, now)).Draw(t, "order")
		s := shelf{stored: rec}
		var won []int
		for i, c := range racers {
			err := s.Apply(c)
			var lost *state.ConflictError
			switch {
			case err == nil:
				won = append(won, i)
			case !errors.As(err, &lost) || !errors.Is(err, state.ErrConflict):
				t.Fatalf("error %v, want a *ConflictError", err)
			case !cmp.Equal(lost.Winner, s.stored):
				t.Fatalf("winner %+v, want %+v", lost.Winner, s.stored)
			}
		}
		if !slices.Equal(won, []int{0}) || s.writes != 1 {
			t.Fatalf("%d changes %v of %d were applied, want the first alone", s.writes, won, len(racers))
		}
		if err := s.Apply(racers[0]); err != nil || s.writes != 1 {
			t.Fatalf("the winner's repetition: %v, %d writes", err, s.writes)
		}
	})
}
