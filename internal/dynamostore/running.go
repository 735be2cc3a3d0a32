package dynamostore

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
)

// The attributes of a running batch.
const (
	attrDue  = "deadline"
	attrFlow = "flow" // the number of its last flow
)

// CreateRunning stores r, or returns batch.ErrExists if there is an entry of its
// batch: that of a flow that was started before is not set back.
func (s *Store) CreateRunning(ctx context.Context, r batch.Running) error {
	err := s.put(ctx, encodeRunning(r), isAbsent())
	var lost *lostError
	if errors.As(err, &lost) {
		return fmt.Errorf("dynamostore: running: %w", batch.ErrExists)
	}
	return err
}

// Running returns the entry of a batch, or batch.ErrNotFound.
func (s *Store) Running(ctx context.Context, batchID string) (batch.Running, error) {
	it, err := s.record(ctx, batchID, runningKey(batchID))
	if err != nil {
		return batch.Running{}, err
	}
	return decodeRunning(it)
}

// Runnings returns at most limit (at least 1) entries, oldest batch first, that
// come after the batch named after, and whether there are more.
func (s *Store) Runnings(ctx context.Context, after string, limit int) ([]batch.Running, bool, error) {
	items, more, err := s.list(ctx, listing{
		pk: pkRunning, prefix: prefixBatch, after: after, limit: limit, forward: true,
	})
	if err != nil {
		return nil, false, err
	}
	page, err := decodeAll(items, decodeRunning)
	return page, more, err
}

// NextFlow raises the number of r's flow by one, and returns the entry as it is
// then: who finds that another has raised it gets what that one wrote. It
// returns batch.ErrNotFound if the entry is gone.
func (s *Store) NextFlow(ctx context.Context, r batch.Running) (batch.Running, error) {
	stored, err := s.Running(ctx, r.ID)
	if err != nil || stored.Flow != r.Flow {
		return stored, err
	}
	stored.Flow++
	err = s.put(ctx, encodeRunning(stored), hasFlow(r.Flow))
	var lost *lostError
	switch {
	case !errors.As(err, &lost):
		return stored, err
	case lost.stored == nil:
		return batch.Running{}, fmt.Errorf("dynamostore: running %.64q: %w", r.ID, batch.ErrNotFound)
	}
	return decodeRunning(lost.stored)
}

// RemoveRunning deletes the entry of r's batch, if the number of its flow is
// still r's; whatever it is, where r's is 0. An entry that is not there, or has
// moved on, is no error.
func (s *Store) RemoveRunning(ctx context.Context, r batch.Running) error {
	var cond condition
	if r.Flow > 0 {
		cond = hasFlow(r.Flow)
	}
	err := s.remove(ctx, runningKey(r.ID), cond)
	var lost *lostError
	if errors.As(err, &lost) {
		return nil
	}
	return err
}

// hasFlow holds where a running batch's last flow has that number.
func hasFlow(n int) condition {
	return condition{
		expression: "#f = :f",
		names:      map[string]string{"#f": attrFlow},
		values:     map[string]types.AttributeValue{":f": number(int64(n))},
	}
}

func encodeRunning(r batch.Running) item {
	it := runningKey(r.ID).item()
	it.setString(attrTenant, r.Tenant)
	it.setTime(attrDue, r.Deadline)
	it.setInt(attrFlow, int64(r.Flow))
	return it
}

// decodeRunning reads what encodeRunning wrote.
func decodeRunning(it item) (batch.Running, error) {
	r := &reader{item: it}
	v := batch.Running{
		Ref:      batch.Ref{Tenant: r.string(attrTenant), ID: idOf(prefixBatch, r.string(attrSK))},
		Deadline: r.time(attrDue), Flow: r.int(attrFlow),
	}
	if r.err != nil {
		return batch.Running{}, fmt.Errorf("running %s: %w", v.ID, r.err)
	}
	return v, nil
}
