package dynamostore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/musketry/musketry/internal/route"
)

// Models returns all models, in the order of their patterns. One that cannot be
// read, as it was written by hand or by a newer version, has its pattern and
// revision and nothing else, which makes it invalid.
func (s *Store) Models(ctx context.Context) ([]route.Model, error) {
	var models []route.Model
	for after, more := "", true; more; {
		items, on, err := s.admin.list(ctx, listing{
			pk: pkModels, prefix: prefixModel, after: after, limit: filteredPage, forward: true,
		})
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			m := decodeModel(it)
			models, after = append(models, m), m.Pattern
		}
		more = on
	}
	return models, nil
}

// PutModel stores m as the revision after m's, if that one is still stored: 0, if
// none is. It returns route.ErrConflict if not, and an error wrapping
// route.ErrInvalid if m is not valid.
func (s *Store) PutModel(ctx context.Context, m route.Model) error {
	if err := m.Validate(); err != nil {
		return err
	}
	was := isAbsent()
	if m.Revision > 0 {
		was = isRev(m.Revision)
	}
	m.Revision++
	it, err := encodeModel(m)
	if err != nil {
		return err
	}
	mine, err := s.mark()
	if err != nil {
		return err
	}
	it.setString(attrMark, mine)
	err = s.admin.put(ctx, it, was)
	var lost *lostError
	switch {
	case !errors.As(err, &lost):
		return err
	case lost.stored.has(attrMark, mine):
		return nil // the SDK repeated a write whose answer was lost
	}
	return fmt.Errorf("dynamostore: model %.80q: %w", m.Pattern, route.ErrConflict)
}

// DeleteModel deletes the model of a pattern if it is still at that revision. It
// returns route.ErrConflict if it is at another, and route.ErrNotFound if there is
// none.
func (s *Store) DeleteModel(ctx context.Context, pattern string, revision int64) error {
	if pattern == "" || len(pattern) > route.MaxPattern {
		return fmt.Errorf("dynamostore: model %.80q: %w", pattern, route.ErrNotFound)
	}
	err := s.admin.remove(ctx, modelKey(pattern), isRev(revision))
	var lost *lostError
	switch {
	case errors.As(err, &lost) && lost.stored == nil:
		return fmt.Errorf("dynamostore: model %.80q: %w", pattern, route.ErrNotFound)
	case lost != nil:
		return fmt.Errorf("dynamostore: model %.80q: %w", pattern, route.ErrConflict)
	}
	return err
}

// encodeModel returns m's item, without the mark of a write.
func encodeModel(m route.Model) (item, error) {
	it := modelKey(m.Pattern).item()
	it.setInt(attrRev, m.Revision)
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("dynamostore: encode %s: %w", attrBody, err)
	}
	it.setString(attrBody, string(text))
	return it, nil
}

// decodeModel reads what encodeModel wrote; of anything else, what can be read.
// The pattern is the key's, whatever the body says.
func decodeModel(it item) route.Model {
	r := &reader{item: it}
	pattern, revision := idOf(prefixModel, r.string(attrSK)), r.int64(attrRev)
	var m route.Model
	if err := json.Unmarshal([]byte(r.string(attrBody)), &m); err != nil || m.Pattern != pattern {
		m = route.Model{Pattern: pattern}
	}
	m.Revision = revision
	return m
}
