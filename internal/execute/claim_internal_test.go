package execute

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// TestBeside demands who runs beside others by how often its workers died: two
// deaths make one of a few, three one that runs alone.
func TestBeside(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reclaims int
		job      job
		streams  bool // nothing can be taken up alone here
		full     bool // as many suspects run, and wait, as may
		suspect  bool // then it counts among them
		want     error
	}{
		"one death":                            {reclaims: 1, full: true},
		"two deaths":                           {reclaims: 2, suspect: true},
		"two deaths, and no place":             {reclaims: 2, full: true, want: endFor(causeSuspect, time.Second)},
		"two deaths, and it has its place":     {reclaims: 2, job: job{suspect: true}, full: true, suspect: true},
		"two deaths, alone":                    {reclaims: 2, job: job{isolated: true}, full: true},
		"three deaths":                         {reclaims: 3, want: end(causePoison)},
		"three deaths, and it had its place":   {reclaims: 3, job: job{suspect: true}, suspect: true, want: end(causePoison)},
		"three deaths, alone":                  {reclaims: 3, job: job{isolated: true}},
		"three deaths, and nothing runs alone": {reclaims: 3, streams: true, want: endFor(causeSuspect, time.Second)},
		"received for the twelfth time": {
			reclaims: 3, job: job{delivery: batch.Delivery{Receives: 12}}, streams: true, want: endFor(causeSuspect, 2*time.Second),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c := &claims{calls: ctx, suspects: newSuspects(), isolation: &isolation{streams: tc.streams}}
				if tc.full {
					for range 2 * maxSuspects {
						go c.suspects.acquire(ctx)
					}
					synctest.Wait()
				}
				err := c.beside(&tc.job, tc.reclaims)
				if fmt.Sprintf("%#v", err) != fmt.Sprintf("%#v", tc.want) || tc.job.suspect != tc.suspect {
					t.Errorf("%#v, a suspect: %t; want %#v, %t", err, tc.job.suspect, tc.want, tc.suspect)
				}
			})
		})
	}
}

// TestSuspectsWait has as many suspects wait as run, and one of them run when
// another ends.
func TestSuspectsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &claims{calls: ctx, suspects: newSuspects(), isolation: &isolation{}}
		var run, gone atomic.Int64
		many := func() []*job {
			jobs := make([]*job, 2*maxSuspects+3)
			for i := range jobs {
				jobs[i] = &job{}
				go func() {
					if c.beside(jobs[i], suspectThreshold) == nil {
						run.Add(1)
					} else {
						gone.Add(1)
					}
				}()
				synctest.Wait()
			}
			return jobs
		}
		want := func(r, g int64) {
			t.Helper()
			synctest.Wait()
			if run.Load() != r || gone.Load() != g {
				t.Errorf("%d run and %d are gone, want %d and %d", run.Load(), gone.Load(), r, g)
			}
		}
		jobs := many()
		want(maxSuspects, 3)
		for _, j := range jobs[:4] {
			c.release(j)
			c.release(j) // no more than its own place
		}
		want(maxSuspects+4, 3)
		cancel()
		want(maxSuspects+4, 3+maxSuspects-4)
		// None of them is taken for one that waits any more.
		c.calls = t.Context()
		run.Store(0)
		gone.Store(0)
		for _, j := range jobs {
			c.release(j)
		}
		jobs = many()
		want(maxSuspects, 3)
		for _, j := range jobs {
			c.release(j)
			synctest.Wait()
		}
	})
}

func TestUntilStale(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	c := &claims{stale: 45 * time.Second}
	for name, tc := range map[string]struct {
		beat time.Time
		want time.Duration
	}{
		"no beat":     {want: 45 * time.Second},
		"a fresh one": {beat: now.Add(-5 * time.Second), want: 42 * time.Second},
		"an old one":  {beat: now.Add(-time.Hour), want: 2 * time.Second},
	} {
		if got := c.untilStale(state.Worker{BeatAt: tc.beat}, now); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
