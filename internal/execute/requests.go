package execute

import (
	"context"
	"errors"

	"github.com/musketry/musketry/internal/state"
)

// requests reads and writes requests, and is patient with the store.
type requests struct {
	kit

	store    Requests
	gatherer *gatherer
}

// newRequests returns a requests. full says whether all places are taken.
func newRequests(k kit, store Requests, full func() bool) requests {
	return requests{k, store, &gatherer{kit: k, store: store, full: full}}
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

// apply makes a change durable, with others' if there are some soon.
func (r requests) apply(c state.Change) error { return r.gatherer.apply(false, c)[0] }

// applyAll makes changes durable at once, and returns their errors.
func (r requests) applyAll(cs []state.Change) []error { return r.gatherer.apply(true, cs...) }

// drain waits until nothing is under way.
func (r requests) drain() { r.gatherer.calls.Wait() }

// conclude returns why j's message's way ends if err came of the write of what
// came of j's call, and nil if there was none; if another has ended the request,
// j knows its record.
func (r requests) conclude(j *job, err error) error {
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
