package state_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/state"
)

func lease(id string) state.Lease {
	return state.Lease{ClaimID: id, Worker: "worker-" + id, Expires: epoch().Add(15 * time.Minute)}
}

func pending() state.Request[state.Pending] { return state.New(spec()).Stored() }

func claimed(id string) state.Request[state.Claimed] {
	return must(state.Claim(pending(), lease(id), epoch())).Stored()
}

func processing(id string) state.Request[state.Processing] {
	return must(state.Start(claimed(id), epoch())).Stored()
}

func failed(reason state.Reason) state.Request[state.Failed] {
	return state.Fail(processing("a"), state.Failure{Reason: reason}, epoch())
}

// errOf drops a transition's result.
func errOf[T any](_ T, err error) error { return err }

func TestErrors(t *testing.T) {
	t.Parallel()
	deadline := ms(spec().Deadline)
	before, after := deadline.Add(-time.Millisecond), deadline.Add(time.Hour)
	backedOff := must(state.Retry(failed(state.Timeout{}), epoch().Add(time.Minute))).Stored()
	waited := backedOff.Phase().NotBefore
	limit := ms(spec().RetryUntil)
	inTime := limit.Add(-time.Millisecond)
	again := must(state.Start(must(state.Claim(backedOff, lease("b"), waited)), waited)).Stored()
	reclaimed := must(state.Reclaim(again, lease("c"), limit, state.LossDead))
	refusal := func(why state.Denial, at time.Time) state.Refusal {
		return state.Refusal{Why: why, ClaimID: "d", At: at}
	}
	unlimited := spec()
	unlimited.RetryUntil = time.Time{}
	endless := must(state.As[state.Pending](state.Record{
		Spec: state.New(unlimited).Spec(), Phase: state.Pending{Attempt: 1, ClaimID: "a"},
	}))
	retryable := state.Timeout{Error: "slow"}
	cases := map[string]struct{ got, want error }{
		"zero request":                {errOf(state.Request[state.Completed]{}.Change()), state.ErrNotTransitioned},
		"zero failed request":         {errOf(state.Request[state.Failed]{}.Change()), state.ErrNotTransitioned},
		"read and not moved":          {errOf(must(state.As[state.Pending](pending().Record())).Change()), state.ErrNotTransitioned},
		"stored already":              {errOf(processing("a").Change()), state.ErrNotTransitioned},
		"new":                         {errOf(state.New(spec()).Change()), nil},
		"undecided":                   {errOf(failed(retryable).Change()), state.ErrUndecided},
		"permanent needs no decision": {errOf(failed(state.ErrorInBody{Status: 200}).Change()), nil},

		"claim at once":              {errOf(state.Claim(pending(), lease("b"), epoch())), nil},
		"claim a millisecond early":  {errOf(state.Claim(backedOff, lease("b"), waited.Add(-time.Millisecond))), state.ErrTooEarly},
		"claim a nanosecond early":   {errOf(state.Claim(backedOff, lease("b"), waited.Add(-1))), state.ErrTooEarly},
		"claim at not-before":        {errOf(state.Claim(backedOff, lease("b"), waited)), nil},
		"claim just in time":         {errOf(state.Claim(pending(), lease("b"), before)), nil},
		"claim at the deadline":      {errOf(state.Claim(pending(), lease("b"), deadline)), state.ErrDeadline},
		"claim after the deadline":   {errOf(state.Claim(pending(), lease("b"), after)), state.ErrDeadline},
		"claim in another time zone": {errOf(state.Claim(pending(), lease("b"), deadline.In(time.FixedZone("", -7*3600)))), state.ErrDeadline},
		"start just in time":         {errOf(state.Start(claimed("a"), before)), nil},
		"start at the deadline":      {errOf(state.Start(claimed("a"), deadline)), state.ErrDeadline},
		"reclaim of a held lease":    {errOf(state.Reclaim(claimed("a"), lease("b"), epoch(), state.LossNone)), state.ErrLeaseHeld},
		"reclaim of a held call":     {errOf(state.Reclaim(processing("a"), lease("b"), epoch(), state.LossNone)), state.ErrLeaseHeld},
		"reclaim just in time":       {errOf(state.Reclaim(processing("a"), lease("b"), before, state.LossDead)), nil},
		"reclaim at the deadline":    {errOf(state.Reclaim(processing("a"), lease("b"), deadline, state.LossDead)), state.ErrDeadline},
		"held goes before overdue":   {errOf(state.Reclaim(claimed("a"), lease("b"), after, state.LossNone)), state.ErrLeaseHeld},
		"too early before overdue":   {errOf(state.Claim(backedOff, lease("b"), epoch())), state.ErrTooEarly},
		"retry just in time":         {errOf(state.Retry(failed(retryable), inTime)), nil},
		"retry rounds up to its end": {errOf(state.Retry(failed(retryable), inTime.Add(1))), state.ErrDeadline},
		"retry at its end":           {errOf(state.Retry(failed(retryable), limit)), state.ErrDeadline},

		"claim of a retry just in time":       {errOf(state.Claim(backedOff, lease("b"), inTime)), nil},
		"claim of a retry at its end":         {errOf(state.Claim(backedOff, lease("b"), limit)), state.ErrDeadline},
		"first claim at the end of retries":   {errOf(state.Claim(pending(), lease("b"), limit)), nil},
		"claim of a retry without an end":     {errOf(state.Claim(endless, lease("b"), before)), nil},
		"claim of such a retry, overdue":      {errOf(state.Claim(endless, lease("b"), deadline)), state.ErrDeadline},
		"start of a retry just in time":       {errOf(state.Start(must(state.Claim(backedOff, lease("b"), waited)), inTime)), nil},
		"start of a retry at its end":         {errOf(state.Start(must(state.Claim(backedOff, lease("b"), waited)), limit)), state.ErrDeadline},
		"start of a reclaimed retry, late":    {errOf(state.Start(reclaimed, limit)), state.ErrDeadline},
		"deny a late retry":                   {errOf(state.Deny(backedOff, refusal(state.DenialDeadline, limit))), nil},
		"deny a late retry after a reclaim":   {errOf(state.Deny(state.Release(reclaimed), refusal(state.DenialDeadline, limit))), nil},
		"deny a retry after the deadline":     {errOf(state.Deny(backedOff, refusal(state.DenialDeadline, after))), nil},
		"deny a retry without an end":         {errOf(state.Deny(endless, refusal(state.DenialDeadline, before))), state.ErrNotLate},
		"deny such a retry, overdue":          {errOf(state.Deny(endless, refusal(state.DenialDeadline, deadline))), nil},
		"deny a retry in time":                {errOf(state.Deny(backedOff, refusal(state.DenialDeadline, inTime))), state.ErrNotLate},
		"deny a first attempt":                {errOf(state.Deny(pending(), refusal(state.DenialDeadline, after))), state.ErrNotLate},
		"deny a late retry for its number":    {errOf(state.Deny(backedOff, refusal(state.DenialMaxRetries, limit))), state.ErrNotLate},
		"deny a late retry for nothing":       {errOf(state.Deny(backedOff, refusal(state.DenialNone, limit))), state.ErrNotLate},
		"retry of a retry that came too late": {errOf(state.Retry(must(state.Deny(backedOff, refusal(state.DenialDeadline, limit))), waited)), state.ErrNotRetryable},

		"retry of a permanent failure": {errOf(state.Retry(failed(state.NonRetryableHTTPStatus{Status: 400}), before)), state.ErrNotRetryable},
		"retry of an expired request":  {errOf(state.Retry(state.Expire(pending(), epoch()), before)), state.ErrNotRetryable},
		"retry of a terminated one":    {errOf(state.Retry(state.Terminate(processing("a"), 5, epoch()), before)), state.ErrNotRetryable},
		"retry of a stored failure":    {errOf(state.Retry(failed(retryable).Stored(), before)), state.ErrNotRetryable},
		"retry of a read failure":      {errOf(state.Retry(must(state.As[state.Failed](failed(retryable).Record())), before)), state.ErrNotRetryable},
		"retry without a call": {errOf(state.Retry(
			state.Fail(claimed("a"), state.Failure{Reason: retryable}, epoch()), before)), state.ErrNotRetryable},
		"deny without a call": {errOf(state.Deny(
			state.Fail(claimed("a"), state.Failure{Reason: retryable}, epoch()), state.Refusal{Why: state.DenialDeadline})), state.ErrNotRetryable},
		"retry of a denied failure": {errOf(state.Retry(must(state.Deny(failed(retryable), state.Refusal{Why: state.DenialDeadline})), before)), state.ErrNotRetryable},
		"deny":                      {errOf(state.Deny(failed(retryable), state.Refusal{Why: state.DenialMaxRetries})), nil},
		"deny twice":                {errOf(state.Deny(must(state.Deny(failed(retryable), state.Refusal{Why: state.DenialDeadline})), state.Refusal{Why: state.DenialDeadline})), state.ErrNotRetryable},
		"deny for no reason":        {errOf(state.Deny(failed(retryable), state.Refusal{Why: state.DenialNone})), state.ErrNotRetryable},
		"deny a permanent failure":  {errOf(state.Deny(failed(state.ResponseTooLarge{Limit: 1}), state.Refusal{Why: state.DenialDeadline})), state.ErrNotRetryable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !errors.Is(c.got, c.want) {
				t.Errorf("error %v, want %v", c.got, c.want)
			}
		})
	}
}

func TestRefusalsReturnNothing(t *testing.T) {
	t.Parallel()
	late := spec().Deadline
	c, _ := state.Claim(pending(), lease("b"), late)
	p, _ := state.Start(claimed("a"), late)
	r, _ := state.Retry(failed(state.Timeout{}), late)
	d, _ := state.Deny(failed(state.Timeout{}), state.Refusal{Why: state.DenialNone})
	for name, err := range map[string]error{
		"claim": errOf(c.Change()), "start": errOf(p.Change()), "retry": errOf(r.Change()), "deny": errOf(d.Change()),
	} {
		if !errors.Is(err, state.ErrNotTransitioned) {
			t.Errorf("a refused %s has a change: %v", name, err)
		}
	}
}

func TestAs(t *testing.T) {
	t.Parallel()
	completed := state.Complete(processing("a"), state.Result{StatusCode: 200}, epoch())
	all := map[state.Status]state.Record{
		state.StatusPending:    pending().Record(),
		state.StatusClaimed:    claimed("a").Record(),
		state.StatusProcessing: processing("a").Record(),
		state.StatusCompleted:  completed.Record(),
		state.StatusFailed:     state.Expire(pending(), epoch()).Record(),
		state.StatusCanceled:   state.Cancel(pending(), epoch()).Record(),
		"":                     {Spec: spec()},
	}
	readers := map[state.Status]func(state.Record) error{
		state.StatusPending:    func(r state.Record) error { return errOf(state.As[state.Pending](r)) },
		state.StatusClaimed:    func(r state.Record) error { return errOf(state.As[state.Claimed](r)) },
		state.StatusProcessing: func(r state.Record) error { return errOf(state.As[state.Processing](r)) },
		state.StatusCompleted:  func(r state.Record) error { return errOf(state.As[state.Completed](r)) },
		state.StatusFailed:     func(r state.Record) error { return errOf(state.As[state.Failed](r)) },
		state.StatusCanceled:   func(r state.Record) error { return errOf(state.As[state.Canceled](r)) },
	}
	for got, rec := range all {
		for want, as := range readers {
			err := as(rec)
			var wrong *state.StatusError
			switch {
			case got == want && err != nil:
				t.Errorf("As[%s] of a %s request: %v", want, got, err)
			case got != want && (!errors.As(err, &wrong) || *wrong != state.StatusError{Want: want, Got: got}):
				t.Errorf("As[%s] of a %q request: %v", want, got, err)
			}
		}
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	for status, want := range map[state.Status]bool{
		state.StatusPending: false, state.StatusClaimed: false, state.StatusProcessing: false,
		state.StatusCompleted: true, state.StatusFailed: true, state.StatusCanceled: true, "": false,
	} {
		if got := status.Terminal(); got != want {
			t.Errorf("%q: Terminal() = %t, want %t", status, got, want)
		}
	}
}

// TestRecords holds what each transition records against the whole phase.
func TestRecords(t *testing.T) {
	t.Parallel()
	t0 := ms(epoch())
	t1, t2, t3 := epoch().Add(time.Second), epoch().Add(2*time.Second), epoch().Add(3*time.Second)
	held := lease("b")
	held.Expires = ms(held.Expires)
	waiting := must(state.As[state.Pending](state.Record{Spec: spec(), Phase: state.Pending{
		Attempt: 4, NotBefore: t0, ClaimID: "a", Reclaims: 2, Doubts: 3, Last: "was slow",
	}}))
	c := must(state.Claim(waiting, lease("b"), t1))
	p := must(state.Start(c, t2))
	answer := state.Span{Object: "segments/1", Offset: 5, Length: 6}
	late := state.Fail(p, state.Failure{Reason: state.RetryableHTTPStatus{Status: 429}, Answer: answer, Model: "m", Tokens: state.Tokens{Total: 7}}, t3)
	lateWant := state.Failed{
		Attempt: 4, ClaimID: "b", Reclaims: 2, Doubts: 3, Reason: state.RetryableHTTPStatus{Status: 429}, Answer: answer, Model: "m",
		Tokens:    state.Tokens{Total: 7},
		ClaimedAt: ms(t1), StartedAt: ms(t2), FailedAt: ms(t3),
	}
	denied := lateWant
	denied.Denial = state.DenialDeadline
	early := state.Fail(c, state.Failure{Reason: state.RequestBuilderError{Error: "no url"}}, t3)
	cases := map[string]struct{ got, want state.Phase }{
		"new":     {state.New(spec()).Phase(), state.Pending{}},
		"claim":   {c.Phase(), state.Claimed{Attempt: 4, Lease: held, Reclaims: 2, Doubts: 3, Last: "was slow", ClaimedAt: ms(t1)}},
		"release": {state.Release(c).Phase(), state.Pending{Attempt: 4, ClaimID: "b", Reclaims: 2, Doubts: 3, Last: "was slow"}},
		"start": {p.Phase(), state.Processing{
			Attempt: 4, Lease: held, Reclaims: 2, Doubts: 3, Last: "was slow", ClaimedAt: ms(t1), StartedAt: ms(t2),
		}},
		"complete": {
			state.Complete(p, state.Result{StatusCode: 201, Answer: answer, Model: "m-2"}, t3).Phase(),
			state.Completed{
				Attempt: 4, ClaimID: "b", StatusCode: 201, Answer: answer, Model: "m-2",
				ClaimedAt: ms(t1), StartedAt: ms(t2), CompletedAt: ms(t3),
			},
		},
		"fail": {late.Phase(), lateWant},
		"fail before the start": {early.Phase(), state.Failed{
			Attempt: 4, ClaimID: "b", Reclaims: 2, Doubts: 3, Reason: state.RequestBuilderError{Error: "no url"},
			ClaimedAt: ms(t1), FailedAt: ms(t3),
		}},
		"deny": {must(state.Deny(late, state.Refusal{Why: state.DenialDeadline})).Phase(), denied},
		"retry": {must(state.Retry(late, t3)).Phase(), state.Pending{
			Attempt: 5, NotBefore: ms(t3).Add(time.Millisecond), ClaimID: "b", Reclaims: 2, Doubts: 3,
			Last: "the upstream answered with status 429",
		}},
		"retry a doubtful one": {
			must(state.Retry(state.Fail(p, state.Failure{Reason: state.InvalidAnswer{Status: 200, Error: "it is empty", Again: true}, Doubtful: true}, t3), t3)).Phase(),
			state.Pending{
				Attempt: 5, NotBefore: ms(t3).Add(time.Millisecond), ClaimID: "b", Reclaims: 2, Doubts: 4,
				Last: "the upstream's answer with status 200 cannot be used: it is empty",
			},
		},
		"reclaim after a good end": {
			must(state.Reclaim(p, lease("b"), t3, state.LossEnded)).Phase(),
			state.Claimed{Attempt: 4, Lease: held, Reclaims: 2, Doubts: 3, Last: "was slow", ClaimedAt: ms(t3)},
		},
		"reclaim after a death": {
			must(state.Reclaim(p, lease("b"), t3, state.LossDead)).Phase(),
			state.Claimed{Attempt: 4, Lease: held, Reclaims: 3, Doubts: 3, Last: "was slow", ClaimedAt: ms(t3)},
		},
		"deny a late retry": {
			must(state.Deny(waiting, state.Refusal{
				Why: state.DenialDeadline, ClaimID: "c", Answer: answer, Model: "m", At: spec().RetryUntil,
			})).Phase(),
			state.Failed{
				Attempt: 4, ClaimID: "c", Reclaims: 2, Doubts: 3, Reason: state.RetryTooLate{Last: "was slow"},
				Denial: state.DenialDeadline, Answer: answer, Model: "m", FailedAt: ms(spec().RetryUntil),
			},
		},
		"cancel waiting": {state.Cancel(waiting, t3).Phase(), state.Canceled{Attempt: 4, ClaimID: "a", Last: "was slow", CanceledAt: ms(t3)}},
		"cancel called":  {state.Cancel(p, t3).Phase(), state.Canceled{Attempt: 4, ClaimID: "b", Last: "was slow", StartedAt: ms(t2), CanceledAt: ms(t3)}},
		"expire": {state.Expire(p, t3).Phase(), state.Failed{
			Attempt: 4, ClaimID: "b", Reclaims: 2, Reason: state.Expired{Last: "was slow", Called: true}, ClaimedAt: ms(t1), StartedAt: ms(t2), FailedAt: ms(t3),
		}},
		"terminate": {state.Terminate(p, 5, t3).Phase(), state.Failed{
			Attempt: 4, ClaimID: "b", Reclaims: 2, Reason: state.TaskTerminated{Deaths: 5}, ClaimedAt: ms(t1), StartedAt: ms(t2), FailedAt: ms(t3),
		}},
		"terminate after one death": {state.Terminate(p, 1, t3).Phase(), state.Failed{
			Attempt: 4, ClaimID: "b", Reclaims: 2, Reason: state.TaskTerminated{Deaths: 1}, ClaimedAt: ms(t1), StartedAt: ms(t2), FailedAt: ms(t3),
		}},
		"terminate without a death says why": {state.Terminate(c, -1, t3).Phase(), state.Failed{
			Attempt: 4, ClaimID: "b", Reclaims: 2, Reason: state.TaskTerminated{Deaths: 1, Error: "the request was given up with its batch; the last attempt that failed: was slow"}, FailedAt: ms(t3),
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, c.got); diff != "" {
				t.Errorf("phase (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBorn covers requests that a transition ends before any store has them.
func TestBorn(t *testing.T) {
	t.Parallel()
	canceled := must(state.Cancel(state.New(spec()), epoch()).Change())
	expired := must(state.Expire(state.New(spec()), epoch()).Change())
	created := must(state.New(spec()).Change())
	for name, c := range map[string]state.Change{"canceled": canceled, "expired": expired, "created": created} {
		if c.Guard() != (state.Guard{}) {
			t.Errorf("%s: guard %+v, want absence", name, c.Guard())
		}
		if !c.AppliedIn(c.To()) {
			t.Errorf("%s: its own write is not its own", name)
		}
	}
	if canceled.AppliedIn(expired.To()) || expired.AppliedIn(created.To()) || created.AppliedIn(canceled.To()) {
		t.Error("another's write is taken for its own")
	}
	if created.AppliedIn(claimed("a").Phase()) || created.AppliedIn(must(state.Retry(failed(state.Timeout{}), epoch())).Phase()) {
		t.Error("a creation is taken for a request that has moved on")
	}
}

func TestAppliedIn(t *testing.T) {
	t.Parallel()
	deny := func(claim string, reason state.Reason, why state.Denial) state.Change {
		f := state.Fail(processing(claim), state.Failure{Reason: reason}, epoch())
		return must(must(state.Deny(f, state.Refusal{Why: why})).Change())
	}
	rewritten := state.Fail(processing("a"), state.Failure{
		Reason: state.Timeout{Error: "the second time"}, Answer: state.Span{Object: "another segment", Length: 9},
	}, epoch().Add(time.Minute))
	complete := func(claim, object string) state.Change {
		return must(state.Complete(processing(claim), state.Result{StatusCode: 200, Answer: state.Span{Object: object}}, epoch()).Change())
	}
	retried := func(claim string) state.Request[state.Pending] {
		f := state.Fail(processing(claim), state.Failure{Reason: state.Timeout{}}, epoch())
		return must(state.Retry(f, epoch()))
	}
	retry := func(claim string) state.Change { return must(retried(claim).Change()) }
	timeout := deny("a", state.Timeout{}, state.DenialDeadline)
	cases := map[string]struct {
		change state.Change
		stored state.Phase
		want   bool
	}{
		"the zero change":               {state.Change{}, pending().Phase(), false},
		"nothing stored":                {timeout, nil, false},
		"nothing of nothing":            {state.Change{}, nil, false},
		"itself":                        {timeout, timeout.To(), true},
		"written twice":                 {timeout, must(state.Deny(rewritten, state.Refusal{Why: state.DenialDeadline})).Phase(), true},
		"another denial":                {timeout, deny("a", state.Timeout{}, state.DenialMaxRetries).To(), false},
		"another reason":                {timeout, deny("a", state.NetworkError{}, state.DenialDeadline).To(), false},
		"another's claim":               {timeout, deny("b", state.Timeout{}, state.DenialDeadline).To(), false},
		"expired meanwhile":             {timeout, state.Expire(processing("a"), epoch()).Phase(), false},
		"canceled meanwhile":            {timeout, state.Cancel(processing("a"), epoch()).Phase(), false},
		"completed, written twice":      {complete("a", "x"), complete("a", "y").To(), true},
		"completed by another":          {complete("a", "x"), complete("b", "x").To(), false},
		"retried":                       {retry("a"), retry("a").To(), true},
		"retried by another":            {retry("a"), retry("b").To(), false},
		"released, not retried":         {retry("a"), state.Release(claimed("a")).Phase(), false},
		"retried, not released":         {must(state.Release(claimed("a")).Change()), retry("a").To(), false},
		"canceled, written twice":       {must(state.Cancel(processing("a"), epoch()).Change()), state.Cancel(processing("a"), epoch().Add(time.Second)).Phase(), true},
		"canceled after its retry":      {must(state.Cancel(processing("a"), epoch()).Change()), must(state.Cancel(retried("a"), epoch()).Change()).To(), false},
		"expired, written twice":        {must(state.Expire(processing("a"), epoch()).Change()), state.Expire(processing("a"), epoch().Add(time.Second)).Phase(), true},
		"expired after its retry":       {must(state.Expire(processing("a"), epoch()).Change()), must(state.Expire(retried("a"), epoch()).Change()).To(), false},
		"a panic against its finalizer": {deny("a", state.TaskTerminated{Error: "boom"}, state.DenialDeadline), state.Terminate(processing("a"), 5, epoch()).Phase(), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.change.AppliedIn(c.stored); got != c.want {
				t.Errorf("AppliedIn = %t, want %t", got, c.want)
			}
		})
	}
}

func TestChangeShowsItself(t *testing.T) {
	t.Parallel()
	r := must(state.Claim(pending(), lease("a"), epoch()))
	c := must(r.Change())
	wantSpec := spec()
	wantSpec.Deadline, wantSpec.RetryUntil = ms(wantSpec.Deadline), ms(wantSpec.RetryUntil)
	if diff := cmp.Diff(wantSpec, c.Spec()); diff != "" {
		t.Errorf("Spec (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(r.Record(), c.Record()); diff != "" {
		t.Errorf("Record (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(state.Record{Spec: r.Spec(), Phase: c.To()}, c.Record()); diff != "" {
		t.Errorf("Record (-want +got):\n%s", diff)
	}
	if want := (state.Guard{Status: state.StatusPending}); c.Guard() != want {
		t.Errorf("guard %+v, want %+v", c.Guard(), want)
	}
}

// TestUsedTwice shows what stands in for linear types, which Go lacks.
func TestUsedTwice(t *testing.T) {
	t.Parallel()
	r := processing("a")
	done := must(state.Complete(r, state.Result{StatusCode: 200}, epoch()).Change())
	canceled := must(state.Cancel(r, epoch()).Change())
	if done.Guard() != canceled.Guard() {
		t.Fatalf("guards %+v and %+v, want one: a store must refuse the second", done.Guard(), canceled.Guard())
	}
}

func TestLost(t *testing.T) {
	t.Parallel()
	const stale = 30 * time.Second
	now := epoch()
	held := state.Lease{ClaimID: "a", Worker: "w", Expires: now.Add(time.Minute)}
	over := state.Lease{ClaimID: "a", Worker: "w", Expires: now}
	beat := func(ago time.Duration) state.Worker { return state.Worker{ID: "w", BeatAt: now.Add(-ago)} }
	ended := func(w state.Worker) state.Worker { w.Ended = true; return w }
	other := func(w state.Worker) state.Worker { w.ID = "x"; return w }
	cases := map[string]struct {
		lease  state.Lease
		worker state.Worker
		want   state.Loss
	}{
		"beats":                       {held, beat(0), state.LossNone},
		"beat a moment ago":           {held, beat(stale - 1), state.LossNone},
		"beats no more":               {held, beat(stale), state.LossStale},
		"beats in the future":         {held, beat(-time.Hour), state.LossNone},
		"ended":                       {held, ended(beat(0)), state.LossEnded},
		"ended long ago":              {held, ended(beat(time.Hour)), state.LossEnded},
		"ended and over":              {over, ended(beat(0)), state.LossEnded},
		"over though it beats":        {over, beat(0), state.LossDead},
		"over and beats no more":      {over, beat(time.Hour), state.LossDead},
		"a nanosecond to go":          {state.Lease{Worker: "w", Expires: now.Add(1)}, beat(0), state.LossNone},
		"never seen":                  {held, state.Worker{ID: "w"}, state.LossNone},
		"never seen and over":         {over, state.Worker{ID: "w"}, state.LossDead},
		"nobody":                      {held, state.Worker{}, state.LossNone},
		"nobody and over":             {over, state.Worker{}, state.LossDead},
		"another ended":               {held, other(ended(beat(0))), state.LossNone},
		"another beats no more":       {held, other(beat(time.Hour)), state.LossNone},
		"another ended and it's over": {over, other(ended(beat(0))), state.LossDead},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.lease.Lost(c.worker, now, stale); got != c.want {
				t.Errorf("Lost = %d, want %d", got, c.want)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	cases := []struct {
		reason    state.Reason
		kind      state.Kind
		retryable bool
		text      string
	}{
		{state.RetryableHTTPStatus{Status: 503}, state.KindRetryableHTTPStatus, true, "the upstream answered with status 503"},
		{state.NonRetryableHTTPStatus{Status: 404}, state.KindNonRetryableHTTPStatus, false, "the upstream answered with status 404"},
		{state.Timeout{Error: "60 s"}, state.KindTimeout, true, "the call timed out: 60 s"},
		{state.NetworkError{Error: "reset"}, state.KindNetworkError, true, "the call broke off: reset"},
		{state.RequestBuilderError{Error: "bad url"}, state.KindRequestBuilderError, false, "the request cannot be sent: bad url"},
		{state.TaskTerminated{Error: "nil map"}, state.KindTaskTerminated, true, "the call panicked: nil map"},
		{state.TaskTerminated{Deaths: 5}, state.KindTaskTerminated, false, "5 workers died over this request"},
		{state.ResponseTooLarge{Limit: 7}, state.KindResponseTooLarge, false, "the answer is larger than 7 bytes"},
		{state.ErrorInBody{Status: 200}, state.KindErrorInBody, false, "the upstream answered with status 200 and an error in the body"},
		{state.RetryTooLate{Last: "slow"}, state.KindRetryTooLate, true, "it was too late for another attempt after the last one failed: slow"},
		{state.Expired{}, state.KindExpired, false, "the request could not be executed before the completion window expired"},
	}
	for _, c := range cases {
		t.Run(string(c.kind), func(t *testing.T) {
			t.Parallel()
			if c.reason.Kind() != c.kind || c.reason.Retryable() != c.retryable || c.reason.String() != c.text {
				t.Errorf("%#v is %q, retryable %t: %q", c.reason, c.reason.Kind(), c.reason.Retryable(), c.reason.String())
			}
			f := failed(c.reason)
			if diff := cmp.Diff(c.reason, f.Phase().Reason); diff != "" {
				t.Errorf("kept reason (-want +got):\n%s", diff)
			}
			want := error(nil)
			if c.retryable {
				want = state.ErrUndecided
			}
			if _, err := f.Change(); !errors.Is(err, want) {
				t.Errorf("Change: %v, want %v", err, want)
			}
		})
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	key := spec().Key
	cases := map[string]error{
		`state: request is "claimed", want "pending"`: &state.StatusError{Want: state.StatusPending, Got: state.StatusClaimed},
		`state: line 7 of batch_a is processing under claim "b", not pending under claim "a"`: &state.ConflictError{
			Key: key, Guard: state.Guard{Status: state.StatusPending, ClaimID: "a"}, Winner: processing("b").Record(),
		},
		`state: line 7 of batch_a is absent, not claimed under claim "a"`: &state.ConflictError{
			Key: key, Guard: state.Guard{Status: state.StatusClaimed, ClaimID: "a"},
		},
		`state: line 7 of batch_a is pending under claim "", not absent`: &state.ConflictError{Key: key, Winner: pending().Record()},
	}
	for want, err := range cases {
		if err.Error() != want {
			t.Errorf("got  %s\nwant %s", err.Error(), want)
		}
	}
}

// TestClip holds every text that a request keeps to MaxText bytes of whole
// characters, so that a store that keeps UTF-8 reads back what was written.
func TestClip(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", state.MaxText-1)
	cases := map[string]struct{ text, want string }{
		"empty":                {"", ""},
		"short":                {"später 🙂", "später 🙂"},
		"as long as may be":    {long + "b", long + "b"},
		"one byte longer":      {long + "bc", long + "b"},
		"cut in two bytes":     {long + "ä", long},
		"cut in three bytes":   {long[1:] + "€x", long[1:]},
		"cut in four bytes":    {long[2:] + "🙂x", long[2:]},
		"whole four bytes":     {long[3:] + "🙂x", long[3:] + "🙂"},
		"not UTF-8":            {"a\xffb", "a\uFFFDb"},
		"half a character":     {"a\xf0\x9f", "a\uFFFD"},
		"long and not UTF-8":   {strings.Repeat("\xff", 300) + "x", "\uFFFDx"},
		"a replacement as cut": {long[2:] + "\uFFFDx", long[2:] + "\uFFFD"},
		"grows over the limit": {long + "\xff", long},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := failed(state.Timeout{Error: c.text}).Phase()
			if diff := cmp.Diff(state.Reason(state.Timeout{Error: c.want}), f.Reason); diff != "" {
				t.Errorf("reason (-want +got):\n%s", diff)
			}
			done := state.Complete(processing("a"), state.Result{Model: c.text}, epoch()).Phase()
			if done.Model != c.want {
				t.Errorf("model %q, want %q", done.Model, c.want)
			}
		})
	}
}

func TestClipBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "valid") {
			raw = rapid.String().Draw(t, "text") + strings.Repeat("x€", rapid.IntRange(0, 100).Draw(t, "more"))
		}
		for _, reason := range []state.Reason{
			state.Timeout{Error: raw}, state.NetworkError{Error: raw}, state.TaskTerminated{Error: raw},
		} {
			f := failed(reason)
			p := must(state.Retry(f, epoch())).Phase()
			for _, kept := range []string{f.Phase().Reason.String(), p.Last} {
				if len(kept) > state.MaxText || !utf8.ValidString(kept) {
					t.Fatalf("kept %d bytes %q", len(kept), kept)
				}
			}
			if p.Last != f.Phase().Reason.String() {
				t.Fatalf("last failure %q, want %q", p.Last, f.Phase().Reason.String())
			}
		}
	})
}

// TestMonotonicClockIsDropped uses the machine's clock, the one that has it.
func TestMonotonicClockIsDropped(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := spec()
	s.Deadline = now.Add(time.Hour)
	r := state.New(s)
	p := must(state.Start(must(state.Claim(r, state.Lease{ClaimID: "a", Expires: now}, now)), now))
	for _, at := range append(timesOf(p.Phase()), r.Spec().Deadline) {
		if at != ms(at) { // not Equal: the monotonic clock must be gone, too
			t.Errorf("kept %#v", at)
		}
	}
}
