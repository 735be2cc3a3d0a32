package batch_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	const rest, most, stall = 30 * time.Second, 10 * time.Minute, 5 * time.Minute
	start := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	at := func(d time.Duration) time.Time { return start.Truncate(time.Millisecond).Add(d) }
	var w batch.Watch
	for _, step := range []struct {
		name string
		do   func(now time.Time) batch.Watch
		now  time.Duration
		want batch.Watch
	}{
		{
			"the first sight is news", func(now time.Time) batch.Watch { return w.See(0, now, stall) }, 0,
			batch.Watch{MovedAt: at(0), ResendAt: at(stall)},
		},
		{
			"feeding is news, and gives peace", func(now time.Time) batch.Watch { return w.Fed(now, rest, stall) }, time.Minute,
			batch.Watch{MovedAt: at(time.Minute), LookAt: at(time.Minute + rest), ResendAt: at(time.Minute + stall)},
		},
		{
			"no news", func(now time.Time) batch.Watch { return w.See(0, now, stall) }, 2 * time.Minute,
			batch.Watch{MovedAt: at(time.Minute), LookAt: at(time.Minute + rest), ResendAt: at(time.Minute + stall)},
		},
		{
			"news", func(now time.Time) batch.Watch { return w.See(7, now, stall) }, 3 * time.Minute,
			batch.Watch{Done: 7, MovedAt: at(3 * time.Minute), LookAt: at(time.Minute + rest), ResendAt: at(3*time.Minute + stall)},
		},
		{
			"looked soon", func(now time.Time) batch.Watch { return w.Looked(now, rest, most) }, 3*time.Minute + time.Second,
			batch.Watch{
				Done: 7, MovedAt: at(3 * time.Minute), LookAt: at(3*time.Minute + time.Second + rest),
				ResendAt: at(3*time.Minute + stall),
			},
		},
		{
			"looked later, so the next look is as far away again",
			func(now time.Time) batch.Watch { return w.Looked(now, rest, most) }, 5 * time.Minute,
			batch.Watch{Done: 7, MovedAt: at(3 * time.Minute), LookAt: at(7 * time.Minute), ResendAt: at(3*time.Minute + stall)},
		},
		{
			"resent, and the next time after twice as long",
			func(now time.Time) batch.Watch { return w.Resent(now).Looked(now, rest, most) }, 23 * time.Minute,
			batch.Watch{Done: 7, MovedAt: at(3 * time.Minute), LookAt: at(33 * time.Minute), ResendAt: at(43 * time.Minute)},
		},
		{
			"a cell that was lost counts back", func(now time.Time) batch.Watch { return w.See(6, now, stall) }, 24 * time.Minute,
			batch.Watch{Done: 6, MovedAt: at(24 * time.Minute), LookAt: at(33 * time.Minute), ResendAt: at(24*time.Minute + stall)},
		},
	} {
		w = step.do(start.Add(step.now))
		if diff := cmp.Diff(step.want, w); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}
