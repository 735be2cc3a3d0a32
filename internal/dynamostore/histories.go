package dynamostore

import (
	"context"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// The attributes of a batch's history. Tenant and id are in the key.
const (
	attrSamples  = "samples"  // as batch.EncodeSamples writes them
	attrInterval = "interval" // nanoseconds
	attrFailures = "failures" // JSON
	attrSettled  = "settled"
)

func (s *Store) historyShape() shape[batch.History] {
	return shape[batch.History]{
		encode: s.encodeHistory,
		decode: decodeHistory,
		next: func(before batch.History, after *batch.History, step int64) {
			after.Ref, after.Rev = before.Ref, before.Rev+step
		},
	}
}

// History returns a batch's history, which is empty at first.
func (s *Store) History(ctx context.Context, ref batch.Ref) (batch.History, error) {
	it, err := s.get(ctx, historyKey(ref))
	if err != nil || it == nil {
		return batch.History{Ref: ref}, err
	}
	return decodeHistory(it)
}

// UpdateHistory stores what change makes of a batch's history, which is empty at
// first, and returns it. An error of change is returned as it is, and nothing is
// written; nor is anything if change leaves the history as it was. It returns
// batch.ErrBusy where UpdateBatch does.
func (s *Store) UpdateHistory(
	ctx context.Context, ref batch.Ref, change func(*batch.History) error,
) (batch.History, error) {
	return updateOrCreate(ctx, s, s.historyShape(), historyKey(ref), batch.History{Ref: ref}, change)
}

// encodeHistory returns h's item, without the mark of a write. It outlives its
// batch, as counter shards do.
func (s *Store) encodeHistory(h batch.History) (item, error) {
	h = h.Kept()
	it := historyKey(h.Ref).item()
	it.setInt(attrRev, h.Rev)
	it.setString(attrSamples, batch.EncodeSamples(h.Samples))
	it.setInt(attrInterval, int64(h.Interval))
	it.setBool(attrSettled, h.Settled)
	if s.retention > 0 {
		it.setExpiry(s.now().Add(counterLife + s.retention))
	}
	if len(h.Failures) == 0 {
		return it, nil
	}
	return it, it.setJSON(attrFailures, h.Failures)
}

// decodeHistory reads what encodeHistory wrote.
func decodeHistory(it item) (batch.History, error) {
	r := &reader{item: it}
	h := batch.History{
		Ref: batch.Ref{Tenant: tenantOf(r.string(attrPK)), ID: idOf(prefixHistory, r.string(attrSK))},
		Rev: r.int64(attrRev), Interval: time.Duration(r.int64(attrInterval)), Settled: r.bool(attrSettled),
	}
	r.json(attrFailures, &h.Failures)
	samples, err := batch.DecodeSamples(r.string(attrSamples))
	if err != nil {
		r.fail(attrSamples, err)
	}
	if h.Samples = samples; r.err != nil {
		return batch.History{}, fmt.Errorf("history of %s: %w", h.ID, r.err)
	}
	return h, nil
}
