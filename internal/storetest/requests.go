package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/state"
)

func requestTrials() []trial[Store] {
	return []trial[Store]{
		{"Apply/creates and refuses to create again", applyCreates},
		{"Apply/every phase and reason comes back as it was", applyRoundTrips},
		{"Apply/first claim without a reading", applyOptimistic},
		{"Apply/one's own write repeated", applyRepeated},
		{"Apply/a change of what is not there", applyAbsent},
		{"Apply/a zombie writes nothing", applyZombie},
		{"Apply/no retry starts when it is too late", applyLate},
		{"Apply/no transition", applyNothing},
		{"Apply/canceled context", applyCanceled},
		{"ApplyAll/each is applied, whatever becomes of the others", applyAllMixed},
		{"ApplyAll/every life, side by side", applyAllLives},
		{"ApplyAll/as it was, once more", applyAllRepeated},
		{"ApplyAll/two at once", applyAllAtOnce},
		{"ApplyAll/refuses what is no group", applyAllRefuses},
		{"ApplyAll/canceled context", applyAllCanceled},
		{"Create/leaves what is there", createLeaves},
		{"Create/the same line twice", createTwice},
		{"Create/born with an outcome", createBornTerminal},
		{"Create/refuses other changes", createRefuses},
		{"Create/two at once", createAtOnce},
		{"Create/canceled context", createCanceled},
		{"Create/nothing", createNothing},
		{"Request/not found", requestNotFound},
	}
}

func applyCreates(t *testing.T, s Store) {
	r := state.New(spec(unique("batch_"), 1, 1))
	ok(t, s.Apply(t.Context(), change(t, r)))
	wantStored(t, s, r.Record())

	ok(t, s.Apply(t.Context(), change(t, r))) // its own doing
	p := apply(t, s, start(t, r.Stored()))
	wantConflict(t, s.Apply(t.Context(), change(t, r)), change(t, r), p.Record())
	wantStored(t, s, p.Record())
}

// A life is a request's way to a phase; each change is to be applied in turn.
type life struct {
	name string
	lead func(t tb, r state.Request[state.Pending]) []state.Change
}

// lives returns a life for each way into each phase, and for each reason. r is
// stored already.
func lives() []life {
	all := []life{
		{"claimed", func(t tb, r state.Request[state.Pending]) []state.Change {
			return []state.Change{change(t, claim(t, r))}
		}},
		{"released", func(t tb, r state.Request[state.Pending]) []state.Change {
			c := claim(t, r)
			return []state.Change{change(t, c), change(t, state.Release(c.Stored()))}
		}},
		{"started in a write of its own", func(t tb, r state.Request[state.Pending]) []state.Change {
			c := claim(t, r)
			p, err := state.Start(c.Stored(), noon().Add(time.Millisecond))
			ok(t, err)
			return []state.Change{change(t, c), change(t, p)}
		}},
		{"reclaimed", func(t tb, r state.Request[state.Pending]) []state.Change {
			p := start(t, r)
			c, err := state.Reclaim(p.Stored(), lease(), noon().Add(time.Minute), state.LossStale)
			ok(t, err)
			return []state.Change{change(t, p), change(t, c)}
		}},
		{"completed", func(t tb, r state.Request[state.Pending]) []state.Change {
			p := start(t, r)
			res := state.Result{
				StatusCode: 200, Model: "gpt-4o-mini",
				Answer: state.Span{Object: "segment-7", Offset: 123_456_789_012, Length: 4_321},
				Tokens: state.Tokens{Input: 1_234, Cached: 1_000, Output: 56, Reasoning: 7, Total: 1_290},
			}
			return []state.Change{change(t, p), change(t, state.Complete(p.Stored(), res, noon().Add(time.Hour)))}
		}},
		{"canceled while processing", func(t tb, r state.Request[state.Pending]) []state.Change {
			p := start(t, r)
			return []state.Change{change(t, p), change(t, state.Cancel(p.Stored(), noon()))}
		}},
		{"canceled while pending", func(t tb, r state.Request[state.Pending]) []state.Change {
			return []state.Change{change(t, state.Cancel(r, noon()))}
		}},
		{"expired", func(t tb, r state.Request[state.Pending]) []state.Change {
			return []state.Change{change(t, state.Expire(r, deadline()))}
		}},
		{"terminated", func(t tb, r state.Request[state.Pending]) []state.Change {
			c := claim(t, r)
			return []state.Change{change(t, c), change(t, state.Terminate(c.Stored(), 5, noon()))}
		}},
	}
	all = append(all, refusals()...)
	for _, reason := range reasons() {
		all = append(all, failing(reason)...)
	}
	return all
}

// refusals returns the lives of retries that come too late.
func refusals() []life {
	return []life{
		{"a retry refused", func(t tb, r state.Request[state.Pending]) []state.Change {
			p := start(t, r)
			put := again(t, p.Stored())
			return []state.Change{change(t, p), change(t, put), change(t, refuse(t, put.Stored()))}
		}},
		{"a lost retry refused", func(t tb, r state.Request[state.Pending]) []state.Change {
			p := start(t, r)
			put := again(t, p.Stored())
			c, err := state.Claim(put.Stored(), lease(), put.Phase().NotBefore)
			ok(t, err)
			second, err := state.Start(c, put.Phase().NotBefore)
			ok(t, err)
			heir, err := state.Reclaim(second.Stored(), lease(), retryUntil(), state.LossStale)
			ok(t, err)
			return []state.Change{
				change(t, p), change(t, put), change(t, second), change(t, refuse(t, state.Release(heir))),
			}
		}},
	}
}

// reasons returns every reason that Fail takes, and texts at their longest.
func reasons() []state.Reason {
	long := strings.Repeat("é✓", state.MaxText)
	return []state.Reason{
		state.RetryableHTTPStatus{Status: 429},
		state.NonRetryableHTTPStatus{Status: 400},
		state.Timeout{Error: "no first byte"},
		state.Timeout{},
		state.NetworkError{Error: long},
		state.RequestBuilderError{Error: `quotes ' " and \ and #`},
		state.TaskTerminated{Error: "panic"},
		state.ResponseTooLarge{Limit: 1 << 40},
		state.ErrorInBody{Status: 200},
		state.RetryTooLate{Last: long},
	}
}

// failing returns the lives that end in a failure for reason: for good, or
// denied another attempt, and put back for one.
func failing(reason state.Reason) []life {
	fail := func(t tb, r state.Request[state.Pending]) (state.Request[state.Processing], state.Request[state.Failed]) {
		p := start(t, r)
		return p, state.Fail(p.Stored(), state.Failure{
			Reason: reason, Model: "m", Answer: state.Span{Object: "segment-1", Length: 99},
		}, noon().Add(time.Minute))
	}
	name := "failed by " + string(reason.Kind())
	if !reason.Retryable() {
		return []life{{name, func(t tb, r state.Request[state.Pending]) []state.Change {
			p, f := fail(t, r)
			return []state.Change{change(t, p), change(t, f)}
		}}}
	}
	return []life{
		{name + ", denied", func(t tb, r state.Request[state.Pending]) []state.Change {
			p, f := fail(t, r)
			f, err := state.Deny(f, state.Refusal{Why: state.DenialMaxRetries})
			ok(t, err)
			return []state.Change{change(t, p), change(t, f)}
		}},
		{name + ", put back", func(t tb, r state.Request[state.Pending]) []state.Change {
			p, f := fail(t, r)
			again, err := state.Retry(f, noon().Add(time.Hour))
			ok(t, err)
			return []state.Change{change(t, p), change(t, again)}
		}},
	}
}

func applyRoundTrips(t *testing.T, s Store) {
	batchID := unique("batch_")
	for i, l := range lives() {
		t.Run(l.name, func(t *testing.T) {
			r := apply(t, s, state.New(spec(batchID, i+1, 3)))
			for _, c := range l.lead(t, r) {
				ok(t, s.Apply(t.Context(), c))
				wantStored(t, s, c.Record())
			}
		})
	}
	t.Run("a body outside the input", func(t *testing.T) {
		sp := spec(batchID, 1000, 3)
		sp.Body.Object, sp.CustomID = "elsewhere", strings.Repeat("x", 256)
		wantStored(t, s, apply(t, s, state.New(sp)).Record())
	})
}

func applyOptimistic(t *testing.T, s Store) {
	r := state.New(spec(unique("batch_"), 1, 1))
	ok(t, s.Create(t.Context(), []state.Change{change(t, r)}))
	p := apply(t, s, start(t, r.Stored()))
	wantStored(t, s, p.Record())

	late := change(t, start(t, r.Stored()))
	wantConflict(t, s.Apply(t.Context(), late), late, p.Record())
}

func applyRepeated(t *testing.T, s Store) {
	batchID := unique("batch_")
	for i, l := range lives() {
		r := apply(t, s, state.New(spec(batchID, i+1, 1)))
		var before *state.Change
		for _, c := range l.lead(t, r) {
			for range 2 {
				ok(t, s.Apply(t.Context(), c))
			}
			wantStored(t, s, c.Record())
			if before != nil && before.Guard() != c.Guard() {
				wantConflict(t, s.Apply(t.Context(), *before), *before, c.Record())
			}
			before = &c
		}
	}
}

func applyAbsent(t *testing.T, s Store) {
	r := state.New(spec(unique("batch_"), 7, 1))
	c := change(t, start(t, r.Stored()))
	wantConflict(t, s.Apply(t.Context(), c), c, state.Record{})
	_, err := s.Request(t.Context(), r.Spec().Key)
	wantErr(t, err, state.ErrNotFound)
}

func applyZombie(t *testing.T, s Store) {
	r := apply(t, s, state.New(spec(unique("batch_"), 1, 1)))
	zombie := apply(t, s, start(t, r))
	heir, err := state.Reclaim(zombie, lease(), noon().Add(time.Hour), state.LossDead)
	ok(t, err)
	heir = apply(t, s, heir)

	c := change(t, state.Complete(zombie, state.Result{StatusCode: 200}, noon()))
	wantConflict(t, s.Apply(t.Context(), c), c, heir.Record())

	// Put back and claimed by a third, the moment of the heir is gone as well.
	put := apply(t, s, state.Release(heir))
	third := apply(t, s, start(t, put))
	stale := change(t, claim(t, put))
	wantConflict(t, s.Apply(t.Context(), stale), stale, third.Record())
	wantStored(t, s, third.Record())
}

// applyLate holds a retry, as it is read back, against its last moment: RetryUntil
// is kept, so whoever reads the request is refused its claim.
func applyLate(t *testing.T, s Store) {
	put := apply(t, s, again(t, apply(t, s, start(t, apply(t, s, state.New(spec(unique("batch_"), 1, 1)))))))
	rec, err := s.Request(t.Context(), put.Spec().Key)
	ok(t, err)
	r, err := state.As[state.Pending](rec)
	ok(t, err)
	inTime, err := state.Claim(r, lease(), retryUntil().Add(-time.Millisecond))
	ok(t, err)
	if _, err = state.Claim(r, lease(), retryUntil()); !errors.Is(err, state.ErrDeadline) {
		t.Fatalf("a late claim: %v, want %v", err, state.ErrDeadline)
	}
	refused := apply(t, s, refuse(t, r))
	wantStored(t, s, refused.Record())
	wantConflict(t, s.Apply(t.Context(), change(t, inTime)), change(t, inTime), refused.Record())
}

func applyNothing(t *testing.T, s Store) {
	wantErr(t, s.Apply(t.Context(), state.Change{}), state.ErrNotTransitioned)
}

func applyCanceled(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := state.New(spec(unique("batch_"), 1, 1))
	wantErr(t, s.Apply(ctx, change(t, r)), context.Canceled)
	_, err := s.Request(t.Context(), r.Spec().Key)
	wantErr(t, err, state.ErrNotFound)
}

// applyAllMixed applies a group as full as may be: claims, as supposed and as
// read, outcomes, zombies' writes, one of nothing, one of what is not there and one
// that creates.
func applyAllMixed(t *testing.T, s Store) {
	batchID := unique("batch_")
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, 20, 3)))
	var cs []state.Change
	var wants []state.Record
	var lost []bool
	add := func(c state.Change, want state.Record, loses bool) {
		cs, wants, lost = append(cs, c), append(wants, want), append(lost, loses)
	}
	for line := 1; line <= 20; line++ {
		supposed := spec(batchID, line, 3)
		if line%2 == 0 {
			supposed.CustomID = "" // not known before the line is read
		}
		p := start(t, state.New(supposed).Stored())
		want := p.Record()
		want.Spec = spec(batchID, line, 3)
		switch line % 4 {
		case 0, 1:
			add(change(t, p), want, false)
		case 2:
			apply(t, s, start(t, state.New(want.Spec).Stored()))
			stored, err := s.Request(t.Context(), want.Spec.Key)
			ok(t, err)
			add(change(t, p), stored, true)
		case 3:
			apply(t, s, p)
			done := state.Complete(p.Stored(), state.Result{StatusCode: 200, Answer: state.Span{Object: "o", Length: 9}}, noon())
			add(change(t, done), done.Record(), false)
		}
	}
	add(change(t, start(t, state.New(spec(batchID, 21, 3)).Stored())), state.Record{}, true)
	born := state.Cancel(state.New(spec(batchID, 22, 3)), noon())
	add(change(t, born), born.Record(), false)

	errs := s.ApplyAll(t.Context(), append(cs, state.Change{}))
	same(t, "errors", len(errs), len(cs)+1)
	wantErr(t, errs[len(cs)], state.ErrNotTransitioned)
	for i, c := range cs {
		if lost[i] {
			wantConflict(t, errs[i], c, wants[i])
		} else {
			ok(t, errs[i])
		}
		if wants[i].Phase != nil {
			wantStored(t, s, wants[i])
		}
	}
}

// applyAllLives leads requests through all lives at once, a step of each in every
// call.
func applyAllLives(t *testing.T, s Store) {
	batchID := unique("batch_")
	for some := range slices.Chunk(lives(), state.GroupSize) {
		var leads [][]state.Change
		for i, l := range some {
			leads = append(leads, l.lead(t, apply(t, s, state.New(spec(batchID, i+1, 4)))))
		}
		for step := 0; len(leads) > 0; step++ {
			leads = slices.DeleteFunc(leads, func(lead []state.Change) bool { return step == len(lead) })
			applyStep(t, s, leads, step)
		}
		batchID = unique("batch_")
	}
}

// applyStep applies a step of each lead in one call.
func applyStep(t *testing.T, s Store, leads [][]state.Change, step int) {
	t.Helper()
	var cs []state.Change
	for _, lead := range leads {
		cs = append(cs, lead[step])
	}
	ok(t, errors.Join(s.ApplyAll(t.Context(), cs)...))
	for _, c := range cs {
		wantStored(t, s, c.Record())
	}
}

func applyAllRepeated(t *testing.T, s Store) {
	batchID := unique("batch_")
	var claims, done []state.Change
	for line := 1; line <= 8; line++ {
		p := start(t, apply(t, s, state.New(spec(batchID, line, 2))))
		claims = append(claims, change(t, p))
		done = append(done, change(t, state.Complete(p.Stored(), state.Result{StatusCode: 200}, noon())))
	}
	ok(t, errors.Join(s.ApplyAll(t.Context(), claims[:5])...))
	for range 2 {
		ok(t, errors.Join(s.ApplyAll(t.Context(), claims)...))
	}
	ok(t, errors.Join(s.ApplyAll(t.Context(), done)...))
	for i, err := range s.ApplyAll(t.Context(), claims) {
		wantConflict(t, err, claims[i], done[i].Record())
	}
}

// applyAllAtOnce has many claim the same requests at once: each request has one
// winner, whom all others are told.
func applyAllAtOnce(t *testing.T, s Store) {
	batchID := unique("batch_")
	const lines = 10
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, lines, 2)))
	var groups [racers][]state.Change
	for i := range groups {
		for line := 1; line <= lines; line++ {
			groups[i] = append(groups[i], change(t, start(t, state.New(spec(batchID, line, 2)).Stored())))
		}
	}
	var errs [racers][]error
	atOnce(racers, func(i int) error {
		errs[i] = s.ApplyAll(t.Context(), groups[i])
		return nil
	})
	for line := range lines {
		stored, err := s.Request(t.Context(), groups[0][line].Spec().Key)
		ok(t, err)
		winners := 0
		for i := range groups {
			if errs[i][line] == nil {
				winners++
				same(t, "the winner's", stored, groups[i][line].Record())
			} else {
				wantConflict(t, errs[i][line], groups[i][line], stored)
			}
		}
		same(t, "winners", winners, 1)
	}
}

func applyAllRefuses(t *testing.T, s Store) {
	batchID := unique("batch_")
	r := state.New(spec(batchID, 1, 1))
	ok(t, s.Create(t.Context(), []state.Change{change(t, r)}))
	two := []state.Change{change(t, start(t, r.Stored())), change(t, start(t, r.Stored()))}
	for _, cs := range [][]state.Change{two, creations(t, batchID, 2, state.GroupSize+2, 1)} {
		errs := s.ApplyAll(t.Context(), cs)
		same(t, "errors", len(errs), len(cs))
		for _, err := range errs {
			wantErr(t, err, state.ErrGroup)
		}
	}
	wantStored(t, s, r.Record())
	same(t, "lines", walked(t, s, batchID, 1, 0), []int{1})
	same(t, "errors of nothing", len(s.ApplyAll(t.Context(), nil)), 0)
}

func applyAllCanceled(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	batchID := unique("batch_")
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, 3, 1)))
	var cs []state.Change
	for line := 1; line <= 3; line++ {
		cs = append(cs, change(t, start(t, state.New(spec(batchID, line, 1)).Stored())))
	}
	for _, err := range s.ApplyAll(ctx, cs) {
		wantErr(t, err, context.Canceled)
	}
	wantStored(t, s, state.New(spec(batchID, 1, 1)).Record())
}

func createLeaves(t *testing.T, s Store) {
	batchID := unique("batch_")
	p := apply(t, s, start(t, apply(t, s, state.New(spec(batchID, 30, 2)))))
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, 60, 2)))
	wantStored(t, s, p.Record())
	for line := 1; line <= 60; line++ {
		if line != 30 {
			wantStored(t, s, state.New(spec(batchID, line, 2)).Record())
		}
	}
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, 60, 2)))
	wantStored(t, s, p.Record())
}

func createTwice(t *testing.T, s Store) {
	r := state.New(spec(unique("batch_"), 1, 1))
	cs := []state.Change{change(t, r), change(t, state.Cancel(r, noon())), change(t, r)}
	ok(t, s.Create(t.Context(), cs))
	wantStored(t, s, r.Record())
}

func createBornTerminal(t *testing.T, s Store) {
	batchID := unique("batch_")
	canceled := state.Cancel(state.New(spec(batchID, 1, 1)), noon())
	expired := state.Expire(state.New(spec(batchID, 2, 1)), deadline())
	ok(t, s.Create(t.Context(), []state.Change{change(t, canceled), change(t, expired)}))
	wantStored(t, s, canceled.Record())
	wantStored(t, s, expired.Record())
}

func createRefuses(t *testing.T, s Store) {
	batchID := unique("batch_")
	cs := creations(t, batchID, 1, 3, 1)
	cs[1] = change(t, start(t, state.New(spec(batchID, 2, 1)).Stored()))
	if s.Create(t.Context(), cs) == nil || s.Create(t.Context(), []state.Change{{}}) == nil {
		t.Fatalf("a change that is no creation was accepted")
	}
	_, err := s.Request(t.Context(), cs[0].Spec().Key)
	wantErr(t, err, state.ErrNotFound)
}

func createAtOnce(t *testing.T, s Store) {
	batchID := unique("batch_")
	errs := atOnce(3, func(i int) error {
		return s.Create(t.Context(), creations(t, batchID, 1+20*i, 60+20*i, 4))
	})
	ok(t, errors.Join(errs...))
	for line := 1; line <= 100; line++ {
		wantStored(t, s, state.New(spec(batchID, line, 4)).Record())
	}
}

func createCanceled(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, s.Create(ctx, creations(t, unique("batch_"), 1, 60, 1)), context.Canceled)
}

func createNothing(t *testing.T, s Store) { ok(t, s.Create(t.Context(), nil)) }

func requestNotFound(t *testing.T, s Store) {
	batchID := unique("batch_")
	ok(t, s.Create(t.Context(), creations(t, batchID, 3, 3, 2)))
	for _, k := range []state.Key{
		{Batch: batchID, Line: 4, Shard: 0},
		{Batch: batchID, Line: 3, Shard: 0},
		{Batch: unique("batch_"), Line: 3, Shard: 1},
	} {
		_, err := s.Request(t.Context(), k)
		wantErr(t, err, state.ErrNotFound)
	}
}
