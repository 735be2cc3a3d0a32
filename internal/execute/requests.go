package execute

import (
	"context"
	"errors"

	"github.com/musketry/musketry/internal/state"
)

// requests reads and writes requests, and is patient with the store.
type requests struct {
	kit

	store Requests
}

// read reads j's request.
func (r requests) read(j *job) (state.Record, error) {
	var rec state.Record
	err := r.persist(opLimit, func(ctx context.Context) error {
		var err error
		rec, err = r.store.Request(ctx, j.message.Key())
		return err
	})
	return rec, err
}

// apply makes a change durable.
func (r requests) apply(c state.Change) error {
	return r.persist(opLimit, func(ctx context.Context) error {
		return r.store.Apply(ctx, c)
	})
}

// conclude makes durable what came of j's call. An error ends the message's way;
// if another has ended the request, j knows its record.
func (r requests) conclude(j *job, c state.Change) error {
	err := r.apply(c)
	if err == nil {
		return nil
	}
	lost, ok := errors.AsType[*state.ConflictError](err)
	switch {
	case !ok:
		r.log.Error("cannot record what came of a call", append(j.attrs(), errAttr(err))...)
		return end(causeUnwritten)
	case lost.Winner.Phase != nil && lost.Winner.Phase.Status().Terminal():
		j.record = lost.Winner
		return end(causeRequestEnded)
	}
	return end(causeSuperseded)
}
