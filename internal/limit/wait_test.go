package limit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/limit"
)

// TestWaits says why requests of a route wait after its calls ended so, and until
// when, some time after.
func TestWaits(t *testing.T) {
	t.Parallel()
	end := func(k limit.Kind) limit.Result { return limit.Result{Kind: k, At: at(soon), Tokens: -1} }
	asked := end(limit.Refused)
	asked.Until = at(soon + time.Hour)
	for name, tc := range map[string]struct {
		ends   []limit.Result
		limits limit.Limits
		then   func(r *limit.Record)
		after  time.Duration // from soon
		why    limit.Why
		until  time.Duration // from soon; 0: not known
	}{
		"nothing":             {},
		"answers":             {ends: []limit.Result{end(limit.Answered)}},
		"a wait asked for":    {ends: []limit.Result{asked}, after: time.Minute, why: limit.RateLimited, until: time.Hour},
		"a wait that is over": {ends: []limit.Result{asked}, after: time.Hour},
		"a wait that is over, of a route due for a trial": {
			ends: slices.Repeat([]limit.Result{asked}, 20), then: func(r *limit.Record) { r.Pause.Brief = false }, after: time.Hour,
		},
		"a refused key":        {ends: []limit.Result{end(limit.Denied), end(limit.Denied), end(limit.Denied)}, why: limit.Unauthorized, until: time.Minute},
		"a refused key, later": {ends: []limit.Result{end(limit.Denied), end(limit.Denied), end(limit.Denied)}, after: time.Hour, why: limit.Unauthorized},
		"no key":               {ends: []limit.Result{end(limit.NoKey)}, after: time.Second, why: limit.MissingKey, until: time.Minute},
		"a failure":            {ends: []limit.Result{end(limit.Failed)}, why: limit.Failing},
		"a failure, long ago":  {ends: []limit.Result{end(limit.Failed)}, after: time.Hour},
		"failures, half of them": {
			ends: []limit.Result{end(limit.Answered), end(limit.Answered), end(limit.Failed), end(limit.Failed)}, why: limit.Failing,
		},
		"failures, fewer":            {ends: []limit.Result{end(limit.Answered), end(limit.Answered), end(limit.Failed)}},
		"an answer after failures":   {ends: []limit.Result{end(limit.Failed), end(limit.Failed), end(limit.Answered)}},
		"slots, one of them free":    {limits: limit.Limits{Concurrency: 4}, then: hold(3)},
		"slots, all taken":           {limits: limit.Limits{Concurrency: 4}, then: hold(4), why: limit.NoSlots},
		"slots, of a worker gone":    {limits: limit.Limits{Concurrency: 4}, then: hold(4), after: 32 * time.Second},
		"slots, no limit any more":   {then: hold(4)},
		"messages told to come back": {limits: limit.Limits{RPM: 60}, then: back(100), after: 30 * time.Second, why: limit.Paced},
		"messages told to come back for slots": {
			limits: limit.Limits{Concurrency: 4}, then: back(100), after: 30 * time.Second, why: limit.NoSlots,
		},
		"messages told to come back with a pace and slots": {
			limits: limit.Limits{Concurrency: 4, RPM: 60}, then: back(100), after: 30 * time.Second, why: limit.Paced,
		},
		"messages that have come":     {limits: limit.Limits{RPM: 60}, then: back(10), after: 30 * time.Second},
		"a pause before what is full": {ends: []limit.Result{asked}, limits: limit.Limits{Concurrency: 4}, then: hold(4), why: limit.RateLimited, until: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ready()
			r.Report(at(soon), tc.limits, told(tc.ends...))
			if tc.then != nil {
				tc.then(r)
			}
			before := r.Kept()
			why, until := r.Waits(at(soon+tc.after), tc.limits)
			var left time.Duration
			if until > 0 {
				left = until.Sub(at(soon))
			}
			if why != tc.why || left != tc.until {
				t.Errorf("waits for %q until %v, want %q until %v", why, left, tc.why, tc.until)
			}
			if diff := cmp.Diff(before, r.Kept()); diff != "" {
				t.Errorf("a look changed the record:\n%s", diff)
			}
		})
	}
}

func hold(n int) func(*limit.Record) {
	return func(r *limit.Record) { r.Hold(at(soon), "w", n, n) }
}

func back(n int) func(*limit.Record) {
	return func(r *limit.Record) { r.Return(at(soon), limit.Limits{RPM: 60}, n, func() float64 { return 0 }) }
}
