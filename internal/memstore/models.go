package memstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/musketry/musketry/internal/route"
)

// Models returns all models, in the order of their patterns.
func (s *Store) Models(ctx context.Context) ([]route.Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: models: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var models []route.Model
	for _, m := range s.models {
		models = append(models, copyModel(m))
	}
	slices.SortFunc(models, func(a, b route.Model) int { return cmp.Compare(a.Pattern, b.Pattern) })
	return models, nil
}

// PutModel stores m as the revision after m's, if that one is still stored: 0, if
// none is. It returns route.ErrConflict if not, and an error wrapping
// route.ErrInvalid if m is not valid.
func (s *Store) PutModel(ctx context.Context, m route.Model) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: put model: %w", err)
	}
	if err := m.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.models[m.Pattern].Revision != m.Revision {
		return fmt.Errorf("memstore: model %.80q: %w", m.Pattern, route.ErrConflict)
	}
	m = copyModel(m)
	m.Revision++
	s.models[m.Pattern] = m
	return nil
}

// DeleteModel deletes the model of a pattern if it is still at that revision. It
// returns route.ErrConflict if it is at another, and route.ErrNotFound if there is
// none.
func (s *Store) DeleteModel(ctx context.Context, pattern string, revision int64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: delete model: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.models[pattern]
	switch {
	case !ok:
		return fmt.Errorf("memstore: model %.80q: %w", pattern, route.ErrNotFound)
	case m.Revision != revision:
		return fmt.Errorf("memstore: model %.80q: %w", pattern, route.ErrConflict)
	}
	delete(s.models, pattern)
	return nil
}

// copyModel returns m with memory of its own, as stores keep it: without what a
// table adds, and what is empty is nil.
func copyModel(m route.Model) route.Model {
	m.Retryable, m.Routes = own(m.Retryable), own(m.Routes)
	for i := range m.Routes {
		m.Routes[i].ID = ""
		m.Routes[i].Headers = copyMap(m.Routes[i].Headers)
	}
	if m.Escalation != nil {
		e := *m.Escalation
		m.Escalation = &e
	}
	return m
}
