package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// page is how many entries are read at once.
	page = 500
	// overdue is how long after its deadline a batch has not ended in any way that
	// is meant.
	overdue = time.Hour
	// hasty is the number of the last flow that an event makes start again at
	// once. A later one waits for the schedule, so that flows which fail as they
	// start do not chase each other.
	hasty = 3
)

// A Config is what a deployment chooses. A zero field stands for the default.
type Config struct {
	// Young is the age below which a batch without a flow is left to its
	// acceptance, which may be at it still; 2 min.
	Young time.Duration
	// Grace is the age at which an entry without a batch was left by an acceptance
	// that died; 10 min.
	Grace time.Duration
	// Looks is how many batches that seem to have no flow one sweep looks at;
	// 5,000. They are looked at one after the other, Pace apart.
	Looks int
	// Pace is the least time between two of them; 100 ms. Step Functions allows
	// DescribeExecution 15 times a second in the long run, and some regions 10
	// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
	Pace time.Duration
	// Letters is how many dead letters one sweep receives at most; 1,000.
	Letters int
	// Margin is how long before its context's deadline a sweep comes to a stop;
	// 45 s.
	Margin time.Duration
}

func (c Config) withDefaults() Config {
	c.Young = cmp.Or(c.Young, 2*time.Minute)
	c.Grace = cmp.Or(c.Grace, 10*time.Minute)
	c.Looks = cmp.Or(c.Looks, 5_000)
	c.Pace = cmp.Or(c.Pace, 100*time.Millisecond)
	c.Letters = cmp.Or(c.Letters, 1_000)
	c.Margin = cmp.Or(c.Margin, 45*time.Second)
	return c
}

// Deps are what a Sweeper works with.
type Deps struct {
	Batches  Batches
	Flows    Flows
	Requests Requests
	Letters  DeadLetters
	Queue    Queue
	Metrics  Metrics
	Clock    func() time.Time
	Log      *slog.Logger
}

// A Sweeper mends what the flows of batches left behind.
type Sweeper struct {
	Deps

	config Config
}

// New returns a Sweeper.
func New(deps Deps, config Config) *Sweeper {
	return &Sweeper{Deps: deps, config: config.withDefaults()}
}

// Sweep sends dead letters to their queue again, and starts the next flow of
// each unfinished batch that has none. It stops where ctx's deadline, less the
// margin, or the bounds of one sweep are met; the next one goes on with what is
// left, since what was mended is found no more. One batch's failure keeps no
// other from being mended; the errors come back together.
func (s *Sweeper) Sweep(ctx context.Context) error {
	return errors.Join(s.sendBack(ctx), s.all(ctx))
}

// Ended starts the next flow of the batch whose flow of that name ended badly,
// if it is the batch's last one. One that is not known, and one that is left to
// the schedule, is no error.
func (s *Sweeper) Ended(ctx context.Context, flow string) error {
	id, n, err := batch.ParseFlowName(flow)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	r, err := s.Batches.Running(ctx, id)
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return nil // the batch has ended: its flow's last step came so far
	case err != nil:
		return fmt.Errorf("sweep: read entry of %s: %w", id, err)
	case r.Flow != n || n > hasty:
		return nil
	}
	return s.revive(ctx, r, batch.FlowEnded)
}

// short reports whether ctx's deadline is nearer than the margin.
func (s *Sweeper) short(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && !s.Clock().Add(s.config.Margin).Before(end)
}

// warn logs an error of one batch, which does not end the sweep.
func (s *Sweeper) warn(ctx context.Context, batchID string, err error) {
	s.Log.ErrorContext(ctx, "the sweep cannot mend a batch",
		slog.String("batch", batchID), slog.String("error", err.Error()))
}
