package dynamostore

import (
	"context"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/limit"
)

// limitLife is how long what is known of a route is kept after its last call
// time: far longer than anything in it means something.
const limitLife = 30 * 24 * time.Hour

func limitShape() shape[limit.Record] {
	return shape[limit.Record]{
		encode: encodeLimit,
		decode: decodeLimit,
		next: func(before limit.Record, after *limit.Record, step int64) {
			after.Route, after.Rev = before.Route, before.Rev+step
		},
	}
}

// Limit returns what the fleet knows of a route, by its id: nothing at first.
func (s *Store) Limit(ctx context.Context, id string) (limit.Record, error) {
	it, err := s.get(ctx, limitKey(id))
	if err != nil || it == nil {
		return limit.Record{Route: id}, err
	}
	return decodeLimit(it)
}

// UpdateLimit stores what change makes of what the fleet knows of a route, and
// returns it. An error of change is returned as it is, and nothing is written; nor
// is anything if change leaves it as it was. It returns batch.ErrBusy where
// UpdateBatch does.
func (s *Store) UpdateLimit(
	ctx context.Context, id string, change func(*limit.Record) error,
) (limit.Record, error) {
	return updateOrCreate(ctx, s, limitShape(), limitKey(id), limit.Record{Route: id}, change)
}

// encodeLimit returns r's item, without the mark of a write.
func encodeLimit(r limit.Record) (item, error) {
	r = r.Kept()
	it := limitKey(r.Route).item()
	it.setInt(attrRev, r.Rev)
	it.setExpiry(r.CallAt.Time().Add(limitLife))
	return it, it.setBody(r)
}

// decodeLimit reads what encodeLimit wrote.
func decodeLimit(it item) (limit.Record, error) {
	r := &reader{item: it}
	var rec limit.Record
	r.body(&rec)
	rec.Route, rec.Rev = idOf(prefixLimit, r.string(attrPK)), r.int64(attrRev)
	if r.err != nil {
		return limit.Record{}, fmt.Errorf("limits of %s: %w", rec.Route, r.err)
	}
	return rec, nil
}
