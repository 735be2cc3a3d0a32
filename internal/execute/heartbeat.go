package execute

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/state"
)

const (
	// beatEvery is the time between two heartbeats.
	beatEvery = 5 * time.Second
	// beatLimit bounds one, so that a slow one does not cost the next.
	beatLimit = 4 * time.Second
)

// A heartbeat shows the others that this worker lives. If none of its beats is
// acknowledged for two thirds of the time after which others take this worker
// for dead, it stops all calls: from then on others may make them.
type heartbeat struct {
	kit

	workers Workers
	batches *poller
	worker  string
	flying  func() int    // calls in flight, which metrics have of each beat
	limit   time.Duration // without an acknowledged beat
	abort   func(error)   // ends all calls
	turn    turn          // of who beats, so that a beat never overtakes a later one

	mu    sync.Mutex
	acked time.Time // when the last acknowledged beat was sent, with a monotonic reading
	lost  bool      // for good
}

// start writes the first beat. Without it nothing may be claimed.
func (h *heartbeat) start() error { return h.persist(beatLimit, h.beat) }

// loop beats until ctx ends, or until it is too late to.
func (h *heartbeat) loop(ctx context.Context) {
	ticks := time.NewTicker(beatEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if !h.alive() {
			h.log.Error("no heartbeat was acknowledged for too long: aborting all calls")
			h.abort(end(causeWorkerStopping))
			return
		}
		h.metrics.Observe(metric.CallsInFlight, float64(h.flying()))
		h.once(ctx)
	}
}

// once beats now. If that fails, the next beat says the same.
func (h *heartbeat) once(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, beatLimit)
	defer cancel()
	if err := h.beat(limited); err != nil && ctx.Err() == nil {
		h.metrics.Count(metric.HeartbeatFailures, 1)
		h.log.Warn("a heartbeat failed", errAttr(err))
	}
}

func (h *heartbeat) beat(ctx context.Context) error {
	h.turn.take()
	defer h.turn.pass()
	sent := h.clock()
	if err := h.workers.Beat(ctx, state.Worker{ID: h.worker, BeatAt: sent, LetGo: h.batches.letGo()}); err != nil {
		return fmt.Errorf("execute: heartbeat: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked = sent
	return nil
}

// announce has the others hear at once that this worker has let go of b, if it
// has, and if that is news.
func (h *heartbeat) announce(b *polled) {
	if h.batches.hasLetGo(b) && b.markAnnounced() {
		h.once(h.ctx)
	}
}

// alive reports whether the others must still take this worker for living.
// Once it is false it stays false.
func (h *heartbeat) alive() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = h.lost || h.clock().Sub(h.acked) >= h.limit
	return !h.lost
}

// end marks this worker ended: none of its calls is in flight any more, and
// its leases may be taken over at once.
func (h *heartbeat) end() error {
	err := h.persist(beatLimit, func(ctx context.Context) error {
		return h.workers.Beat(ctx, state.Worker{ID: h.worker, BeatAt: h.clock(), Ended: true})
	})
	if err != nil {
		h.log.Warn("cannot mark the worker ended", errAttr(err))
	}
	return err
}
