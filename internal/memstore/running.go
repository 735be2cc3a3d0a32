package memstore

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/musketry/musketry/internal/batch"
)

// CreateRunning stores r, or returns batch.ErrExists if there is an entry of its
// batch.
func (s *Store) CreateRunning(ctx context.Context, r batch.Running) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: create running: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.running[r.ID]; ok {
		return fmt.Errorf("memstore: running %s: %w", r.ID, batch.ErrExists)
	}
	r.Deadline = stamp(r.Deadline)
	s.running[r.ID] = r
	return nil
}

// Running returns the entry of a batch, or batch.ErrNotFound.
func (s *Store) Running(ctx context.Context, batchID string) (batch.Running, error) {
	if err := ctx.Err(); err != nil {
		return batch.Running{}, fmt.Errorf("memstore: running: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.running[batchID]
	if !ok {
		return batch.Running{}, fmt.Errorf("memstore: running %.64q: %w", batchID, batch.ErrNotFound)
	}
	return r, nil
}

// Runnings returns at most limit (at least 1) entries, oldest batch first, that
// come after the batch named after, and whether there are more.
func (s *Store) Runnings(ctx context.Context, after string, limit int) ([]batch.Running, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("memstore: runnings: %w", err)
	}
	if limit < 1 {
		return nil, false, errPage
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page := []batch.Running{}
	for _, id := range slices.Sorted(maps.Keys(s.running)) {
		switch {
		case id <= after:
		case len(page) == limit:
			return page, true, nil
		default:
			page = append(page, s.running[id])
		}
	}
	return page, false, nil
}

// NextFlow raises the number of r's flow by one, and returns the entry as it is
// then: who finds that another has raised it gets what that one wrote. It
// returns batch.ErrNotFound if the entry is gone.
func (s *Store) NextFlow(ctx context.Context, r batch.Running) (batch.Running, error) {
	if err := ctx.Err(); err != nil {
		return batch.Running{}, fmt.Errorf("memstore: next flow: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, ok := s.running[r.ID]
	if !ok {
		return batch.Running{}, fmt.Errorf("memstore: running %.64q: %w", r.ID, batch.ErrNotFound)
	}
	if stored.Flow == r.Flow {
		stored.Flow++
		s.running[r.ID] = stored
	}
	return stored, nil
}

// RemoveRunning deletes the entry of r's batch, if the number of its flow is
// still r's; whatever it is, where r's is 0. An entry that is not there, or has
// moved on, is no error.
func (s *Store) RemoveRunning(ctx context.Context, r batch.Running) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: remove running: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Flow == 0 || s.running[r.ID].Flow == r.Flow {
		delete(s.running, r.ID)
	}
	return nil
}
