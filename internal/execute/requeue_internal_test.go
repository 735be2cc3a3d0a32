package execute

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

// A hider is a queue that keeps what is hidden, and for how long.
type hider struct {
	Queue

	mu    sync.Mutex
	calls []string
}

func (h *hider) ChangeVisibility(_ context.Context, handles []string, d time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, fmt.Sprint(strings.Join(handles, " "), " ", d))
	return nil
}

// TestRequeuedTogether has messages go back that are to be shown at different times: those
// of one second go by one call, at the time of its last.
func TestRequeuedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hider{}
		k := kit{ctx: t.Context(), clock: time.Now, log: slog.New(slog.DiscardHandler)}
		r := &requeuer{kit: k, visibility: newExtender(k, h, newLedger())}
		for _, m := range []struct {
			handle string
			after  time.Duration
		}{
			{"now", 0},
			{"soon", 50 * time.Millisecond},
			{"a", 500 * time.Millisecond},
			{"b", 1100 * time.Millisecond},
			{"c", 1200 * time.Millisecond},
			{"d", 2100 * time.Millisecond},
			{"e", 3 * time.Second},
			{"f", 24 * time.Hour},
		} {
			r.requeue(&job{delivery: batch.Delivery{Handle: m.handle}}, m.after)
		}
		r.drain()
		slices.Sort(h.calls)
		want := []string{ // a tenth of a second later
			"a b 1s", "c d 2s", "e 2.9s", "f 11h30m0s", "now soon 0s",
		}
		if diff := cmp.Diff(want, h.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}
