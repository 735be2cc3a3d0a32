package execute_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// TestTimesOfAnInvocation checks how long an attempt may take in invocations of
// different lengths, when the last one may start, and when the leases expire.
func TestTimesOfAnInvocation(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lasts  time.Duration // 0: nobody says
		limit  time.Duration // of an attempt
		latest time.Duration // when one may start
	}{
		"very short": {20 * time.Second, 11250 * time.Millisecond, 3750 * time.Millisecond},
		"short":      {time.Minute, 33750 * time.Millisecond, 11250 * time.Millisecond},
		"usual":      {10 * time.Minute, 438750 * time.Millisecond, 146250 * time.Millisecond},
		"long":       {15 * time.Minute, 10 * time.Minute, 4*time.Minute + 45*time.Second},
		"not known":  {0, 10 * time.Minute, 4*time.Minute + 45*time.Second},
	} {
		for _, late := range []time.Duration{0, 15 * time.Millisecond} {
			t.Run(name+" and "+late.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, input(2))
					w.sendAll(2)
					start, ctx := time.Now(), context.Background()
					expires := start.Add(15*time.Minute + 30*time.Second)
					if tc.lasts > 0 {
						timed, cancel := context.WithTimeout(ctx, tc.lasts)
						defer cancel()
						ctx, expires = timed, start.Add(tc.lasts+30*time.Second)
					}
					var called atomic.Int64
					w.up.answer = func(ctx context.Context, line, _ int) (execute.Reply, error) {
						if p, _ := w.stored(ctx, line).Phase.(state.Processing); !p.Lease.Expires.Equal(expires) {
							t.Errorf("its lease expires at %v, want %v", p.Lease.Expires, expires)
						}
						if called.Add(1) == 1 { // the other waits for the place
							time.Sleep(tc.latest - 37*time.Millisecond + late) // its claim waited for the other, its permit, and each for its place
							return ok("{}")
						}
						began := time.Now()
						<-ctx.Done()
						if took := time.Since(began); took != tc.limit {
							t.Errorf("an attempt may take %v, want %v", took, tc.limit)
						}
						return execute.Reply{}, errors.New("aborted")
					}
					m := &machine{world: w}
					w.process(m, execute.Config{Places: 1}).Run(ctx, w.deliver(2))
					if n := called.Load(); (n == 1) != (late > 0) {
						t.Errorf("%d calls", n)
					}
					w.kept()
				})
			})
		}
	}
}
