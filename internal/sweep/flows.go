package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
)

// maxErrors is how many batches' errors a sweep returns; all are logged.
const maxErrors = 10

// all looks at every batch that may be unfinished and whose flow does not seem
// to run.
func (s *Sweeper) all(ctx context.Context) error {
	names, err := s.Flows.Running(ctx)
	if err != nil {
		return fmt.Errorf("sweep: list flows: %w", err)
	}
	var errs []error
	looks := 0
	for after, more := "", true; more && !s.short(ctx); {
		var entries []batch.Running
		if entries, more, err = s.Batches.Runnings(ctx, after, page); err != nil {
			return errors.Join(append(errs, fmt.Errorf("sweep: list what runs: %w", err))...)
		}
		for _, r := range entries {
			after = r.ID
			s.late(ctx, r)
			if names[batch.FlowName(r.ID, r.Flow)] || s.young(r) {
				continue
			}
			if looks++; looks > s.config.Looks || s.short(ctx) {
				s.Log.WarnContext(ctx, "the sweep leaves the rest to the next", slog.Int("looked_at", looks-1))
				return errors.Join(errs...)
			}
			errs = noted(errs, s.look(ctx, r, looks))
		}
	}
	return errors.Join(errs...)
}

// noted returns errs with err, if that is one and there are not too many.
func noted(errs []error, err error) []error {
	if err == nil || len(errs) >= maxErrors {
		return errs
	}
	return append(errs, err)
}

// look starts r's next flow if it has none.
func (s *Sweeper) look(ctx context.Context, r batch.Running, nth int) error {
	if nth > 1 {
		if err := wait(ctx, s.config.Pace); err != nil {
			return err
		}
	}
	state, err := s.Flows.State(ctx, r.ID, r.Flow)
	if err == nil {
		err = s.revive(ctx, r, state)
	}
	if err != nil {
		s.warn(ctx, r.ID, err)
	}
	return err
}

// late counts and tells of a batch that should have ended long ago.
func (s *Sweeper) late(ctx context.Context, r batch.Running) {
	if late := s.Clock().Sub(r.Deadline); late > overdue {
		s.Metrics.Count(metric.OverdueBatches, 1)
		s.Log.ErrorContext(ctx, "a batch is overdue", slog.String("batch", r.ID), slog.Duration("since", late))
	}
}

// young reports whether r's acceptance may be at it still.
func (s *Sweeper) young(r batch.Running) bool { return s.age(r) < s.config.Young }

// age returns how long ago r's batch was made.
func (s *Sweeper) age(r batch.Running) time.Duration {
	made, _ := batch.ParseID(batch.PrefixBatch, r.ID)
	return s.Clock().Sub(made)
}

// revive starts the next flow of r's batch, whose last flow stands as state
// says. A batch that has ended gets one too: its flow died before it gave up
// what the batch held.
//
// What a crash after each write leaves:
//
//	the flow's number  a number whose flow is absent: the next sweep starts that one
//	the flow's start   nothing
func (s *Sweeper) revive(ctx context.Context, r batch.Running, state batch.FlowState) error {
	if state == batch.FlowRunning {
		return nil
	}
	b, err := s.Batches.Batch(ctx, r.Ref)
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return s.forget(ctx, r)
	case err != nil:
		return fmt.Errorf("sweep: read batch %s: %w", r.ID, err)
	}
	if state == batch.FlowEnded {
		r, err = s.Batches.NextFlow(ctx, r)
		switch {
		case errors.Is(err, batch.ErrNotFound):
			return nil // its last step was faster
		case err != nil:
			return fmt.Errorf("sweep: number the next flow of %s: %w", r.ID, err)
		}
	}
	if err := s.Flows.StartAgain(ctx, b, r.Flow); err != nil {
		return fmt.Errorf("sweep: start flow %d of %s: %w", r.Flow, b.ID, err)
	}
	s.Metrics.Count(metric.FlowRestarts, 1)
	s.Log.WarnContext(ctx, "a batch had no flow, and has one again", slog.String("batch", b.ID),
		slog.String("status", string(b.Status)), slog.Int("flow", r.Flow), slog.String("last_flow", string(state)))
	return nil
}

// forget drops the entry of a batch that is not there, once its acceptance must
// be dead: nobody was told of the batch, and whoever sends the order again enters
// it anew.
func (s *Sweeper) forget(ctx context.Context, r batch.Running) error {
	if s.age(r) < s.config.Grace {
		return nil
	}
	if err := s.Batches.RemoveRunning(ctx, r); err != nil {
		return fmt.Errorf("sweep: drop entry of %s: %w", r.ID, err)
	}
	s.Log.WarnContext(ctx, "dropped the entry of a batch that was never made", slog.String("batch", r.ID))
	return nil
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sweep: %w", ctx.Err())
	}
}
