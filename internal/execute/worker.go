package execute

import (
	"context"

	"github.com/musketry/musketry/internal/batch"
)

// A Worker runs requests. One lives in a process, and keeps its counts and what
// it has learned of models; each Run of it is a worker of its own to all others.
type Worker struct {
	Deps

	cfg   Config
	keeps kept
}

// New returns a Worker.
func New(deps Deps, cfg Config) *Worker {
	return &Worker{Deps: deps, cfg: cfg.withDefaults(), keeps: kept{newShards(deps.NewID), newDurations(), newRefusals(), &outlook{}}}
}

// Run takes deliveries, and what it receives itself while it has room, as far as
// they get before ctx's deadline (15 minutes from now if it has none) less a
// margin. It returns the message ids of those deliveries that must stay in the
// queue, in order: all but those whose request or batch is terminal, of which
// some are deleted already. No goroutine outlives it.
func (w *Worker) Run(ctx context.Context, deliveries []batch.Delivery) []string {
	if len(deliveries) == 0 {
		return []string{}
	}
	w.keeps.shards.trim()
	i, cancel := begin(ctx, w.Deps, w.cfg, w.keeps)
	defer cancel()
	i.run(deliveries) //nolint:contextcheck // an invocation has two contexts of ctx: one that aborts calls, one that outlives the abort
	i.crew.wait()
	return i.ledger.unacknowledged()
}
