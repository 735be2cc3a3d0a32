package storetest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/state"
)

func modelTrials() []trial[Store] {
	return []trial[Store]{{"Model/any legal transitions from any reading", modelAny}}
}

// A machine drives a store with transitions made from readings of any age, and
// foretells each outcome from what must be stored.
type machine struct {
	store   Store
	batchID string
	stored  map[int]state.Record // what must be stored, by line
	read    []state.Record       // all that was ever read or written
	written []state.Change       // all that was ever tried
}

const (
	modelLines  = 6
	modelShards = 3
)

func modelAny(t *testing.T, s Store) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{store: s, batchID: unique("batch_"), stored: map[int]state.Record{}}
		rt.Repeat(map[string]func(*rapid.T){
			"create": m.create,
			"move":   m.move,
			"repeat": m.repeat,
			"":       m.check,
		})
		m.checkWalk(rt)
	})
}

func (m *machine) create(rt *rapid.T) {
	first := rapid.IntRange(1, modelLines).Draw(rt, "first")
	cs := creations(rt, m.batchID, first, rapid.IntRange(first, modelLines).Draw(rt, "last"), modelShards)
	ok(rt, m.store.Create(rt.Context(), cs))
	for _, c := range cs {
		line := c.Spec().Key.Line
		if m.stored[line].Phase == nil {
			m.stored[line] = c.Record()
		}
		m.read = append(m.read, m.stored[line])
	}
}

// move applies a transition made from one of the readings, or from none.
func (m *machine) move(rt *rapid.T) {
	rec := state.New(spec(m.batchID, rapid.IntRange(1, modelLines).Draw(rt, "line"), modelShards)).Record()
	if len(m.read) > 0 {
		rec = rapid.SampledFrom(m.read).Draw(rt, "reading")
	}
	if c, legal := anyChange(rt, rec); legal {
		m.apply(rt, c)
	}
}

func (m *machine) repeat(rt *rapid.T) {
	if len(m.written) > 0 {
		m.apply(rt, rapid.SampledFrom(m.written).Draw(rt, "change"))
	}
}

// apply applies c and holds what comes of it against what must.
func (m *machine) apply(rt *rapid.T, c state.Change) {
	m.written = append(m.written, c)
	line := c.Spec().Key.Line
	now := m.stored[line]
	err := m.store.Apply(rt.Context(), c)
	switch {
	case now.Guard() == c.Guard():
		same(rt, "what the change was made from", c.From(), now.Phase)
		ok(rt, err)
		m.stored[line] = c.Record()
		m.read = append(m.read, c.Record())
	case c.AppliedIn(now.Phase):
		ok(rt, err)
	default:
		wantConflict(rt, err, c, now)
	}
}

// check reads a line.
func (m *machine) check(rt *rapid.T) {
	k := spec(m.batchID, rapid.IntRange(1, modelLines).Draw(rt, "line"), modelShards).Key
	got, err := m.store.Request(rt.Context(), k)
	if m.stored[k.Line].Phase == nil {
		wantErr(rt, err, state.ErrNotFound)
		return
	}
	ok(rt, err)
	same(rt, "stored request", got, m.stored[k.Line])
	m.read = append(m.read, got)
}

func (m *machine) checkWalk(rt *rapid.T) {
	var got, want []state.Record
	for rec, err := range m.store.Requests(rt.Context(), m.batchID, modelShards, 0) {
		ok(rt, err)
		got = append(got, rec)
	}
	for line := 1; line <= modelLines; line++ {
		if rec := m.stored[line]; rec.Phase != nil {
			want = append(want, rec)
		}
	}
	same(rt, "requests", got, want)
}

// anyChange returns one of the changes that are legal for rec; false if there
// is none.
func anyChange(rt *rapid.T, rec state.Record) (state.Change, bool) {
	now := noon().Add(time.Duration(rapid.IntRange(0, 3600).Draw(rt, "second")) * time.Second)
	switch rec.Phase.(type) {
	case state.Pending:
		r, err := state.As[state.Pending](rec)
		ok(rt, err)
		switch rapid.IntRange(0, 4).Draw(rt, "way") {
		case 0:
			return end(rt, r, now), true
		case 1:
			return changeOr(state.Claim(r, lease(), now))
		case 2:
			return changeOr(state.Deny(r, state.Refusal{
				Why: state.DenialDeadline, ClaimID: unique("claim-"), At: retryUntil().Add(now.Sub(noon())),
			}))
		default:
			c, err := state.Claim(r, lease(), now)
			if err != nil {
				return state.Change{}, false
			}
			return changeOr(state.Start(c, now))
		}
	case state.Claimed:
		r, err := state.As[state.Claimed](rec)
		ok(rt, err)
		switch rapid.IntRange(0, 3).Draw(rt, "way") {
		case 0:
			return leased(rt, r, now)
		case 1:
			return change(rt, state.Release(r)), true
		default:
			return changeOr(state.Start(r, now))
		}
	case state.Processing:
		r, err := state.As[state.Processing](rec)
		ok(rt, err)
		if rapid.Bool().Draw(rt, "completes") {
			return change(rt, state.Complete(r, state.Result{StatusCode: 200, Model: "m"}, now)), true
		}
		return leased(rt, r, now)
	case state.Completed, state.Failed, state.Canceled:
	}
	return state.Change{}, false
}

// leased returns a change that is legal for a request with a lease.
func leased[S interface {
	state.Active
	state.Leased
}](rt *rapid.T, r state.Request[S], now time.Time) (state.Change, bool) {
	switch rapid.IntRange(0, 2).Draw(rt, "way") {
	case 0:
		return end(rt, r, now), true
	case 1:
		return changeOr(state.Reclaim(r, lease(), now, rapid.SampledFrom([]state.Loss{
			state.LossEnded, state.LossStale, state.LossDead,
		}).Draw(rt, "loss")))
	default:
		f := state.Fail(r, state.Failure{Reason: rapid.SampledFrom(reasons()).Draw(rt, "reason")}, now)
		if again, err := state.Retry(f, now.Add(time.Minute)); err == nil {
			return change(rt, again), true
		}
		return changeOr(f, nil) // permanent; a failure before a call that is retryable has no change
	}
}

// end returns the change that ends r from outside.
func end[S state.Active](rt *rapid.T, r state.Request[S], now time.Time) state.Change {
	switch rapid.IntRange(0, 2).Draw(rt, "end") {
	case 0:
		return change(rt, state.Cancel(r, now))
	case 1:
		return change(rt, state.Expire(r, now))
	default:
		return change(rt, state.Terminate(r, 5, now))
	}
}

// changeOr returns r's change; false if err, or the state package, forbids it.
func changeOr[S state.State](r state.Request[S], err error) (state.Change, bool) {
	if err != nil {
		return state.Change{}, false
	}
	c, err := r.Change()
	return c, err == nil
}
