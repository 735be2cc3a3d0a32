package memstore

import (
	"context"
	"errors"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
)

// Limit returns what the fleet knows of a route, by its id: nothing at first.
func (s *Store) Limit(ctx context.Context, id string) (limit.Record, error) {
	r, err := s.limits.get(ctx, "", id)
	if errors.Is(err, batch.ErrNotFound) {
		return limit.Record{Route: id}, nil
	}
	return r, err
}

// UpdateLimit stores what change makes of what the fleet knows of a route, and
// returns it, under the rules of UpdateBatch.
func (s *Store) UpdateLimit(
	ctx context.Context, id string, change func(*limit.Record) error,
) (limit.Record, error) {
	return s.limits.update(func() (limit.Record, error) { return s.Limit(ctx, id) }, change)
}

func newLimits() *records[limit.Record] {
	return &records[limit.Record]{sort: "limits", own: limit.Record.Kept, id: func(r *limit.Record) (owner, id *string, rev *int64) {
		return new(string), &r.Route, &r.Rev
	}}
}
