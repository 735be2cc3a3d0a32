package execute

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/state"
)

const (
	// beatEvery is the time between two heartbeats.
	beatEvery = 5 * time.Second
	// beatLimit bounds one, so that a slow one does not cost the next.
	beatLimit = 4 * time.Second
)

// A heart shows the others that this worker lives. If none of its beats is
// acknowledged for two thirds of the time after which others take this worker
// for dead, it stops all calls: from then on others may make them.
type heart struct {
	run   *run
	limit time.Duration // without an acknowledged beat
	turn  turn          // of who beats, so that a beat never overtakes a later one

	mu    sync.Mutex
	acked time.Time // when the last acknowledged beat was sent, with a monotonic reading
	lost  bool      // for good
}

func newHeart(r *run) *heart {
	return &heart{run: r, limit: r.cfg.Stale / 3 * 2, turn: newTurn()}
}

// start writes the first beat. Without it nothing may be claimed.
func (h *heart) start() error { return h.run.persist(beatLimit, h.beat) }

// loop beats until ctx ends, or until it is too late to.
func (h *heart) loop(ctx context.Context) {
	ticks := time.NewTicker(beatEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if !h.alive() {
			h.run.log.Error("no heartbeat was acknowledged for too long: aborting all calls")
			h.run.abort(errLost)
			return
		}
		h.once(ctx)
	}
}

// once beats now. If that fails, the next beat says the same.
func (h *heart) once(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, beatLimit)
	defer cancel()
	if err := h.beat(limited); err != nil && ctx.Err() == nil {
		h.run.Metrics.Count("heartbeat_failures_total", 1)
		h.run.log.Warn("a heartbeat failed", errAttr(err))
	}
}

func (h *heart) beat(ctx context.Context) error {
	h.turn.take()
	defer h.turn.pass()
	sent := h.run.Clock()
	if err := h.run.Workers.Beat(ctx, state.Worker{ID: h.run.id, BeatAt: sent, LetGo: h.run.letGo()}); err != nil {
		return fmt.Errorf("execute: heartbeat: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked = sent
	return nil
}

// alive reports whether the others must still take this worker for living.
// Once it is false it stays false.
func (h *heart) alive() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = h.lost || h.run.Clock().Sub(h.acked) >= h.limit
	return !h.lost
}

// end marks this worker ended: none of its calls is in flight any more, and
// its leases may be taken over at once.
func (h *heart) end() error {
	err := h.run.persist(beatLimit, func(ctx context.Context) error {
		return h.run.Workers.Beat(ctx, state.Worker{ID: h.run.id, BeatAt: h.run.Clock(), Ended: true})
	})
	if err != nil {
		h.run.log.Warn("cannot mark the worker ended", errAttr(err))
	}
	return err
}
