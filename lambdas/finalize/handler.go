package main

import (
	"context"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
)

// An useCase is what the handler needs of a finalize.Finalizer.
type useCase interface {
	Advance(ctx context.Context, ref batch.Ref) (finalize.Next, error)
	Park(ctx context.Context, ref batch.Ref, token string) error
	Abandon(ctx context.Context, ref batch.Ref, cause string) error
}

// A sweeper is what it needs of a sweep.Sweeper.
type sweeper interface {
	Sweep(ctx context.Context) error
	Ended(ctx context.Context, flow string) error
}

// A handler translates the tasks of a batch's flow, of the sweep's schedule, and
// of the events of flows that ended badly.
type handler struct {
	answers   map[string]batch.FlowAnswer
	finalizer useCase
	sweeper   sweeper
	after     func() // called at the end of each task
}

// A task is what is asked for.
type task struct {
	Version int    `json:"version"` // of the flow's definition; none is 0
	Task    string `json:"task"`    // advance, park or abandon; sweep or ended
	Tenant  string `json:"tenant"`
	Batch   string `json:"batch"`
	Token   string `json:"token"` // park's: with which the flow waits
	Cause   string `json:"cause"` // abandon's: the flow's error as JSON
	Flow    string `json:"flow"`  // ended's: the name of the flow that ended
}

// An answer says what the flow is to do next; nothing, for one that parks.
type answer struct {
	Tenant string        `json:"tenant"`
	Batch  string        `json:"batch"`
	Next   finalize.Next `json:"next"`
}

func (h handler) handle(ctx context.Context, t task) (answer, error) {
	defer h.after()
	ref, a := batch.Ref{Tenant: t.Tenant, ID: t.Batch}, answer{Tenant: t.Tenant, Batch: t.Batch}
	var err error
	switch {
	case t.Task == "sweep":
		err = h.sweeper.Sweep(ctx)
	case t.Task == "ended":
		err = h.sweeper.Ended(ctx, t.Flow)
	case t.Tenant == "" || t.Batch == "":
		err = fmt.Errorf("finalize: task %.20q names no batch", t.Task)
	case t.Task == "advance":
		a.Next, err = h.finalizer.Advance(ctx, ref)
	case t.Task == "park" && t.Token != "":
		err = h.finalizer.Park(ctx, ref, t.Token)
	case t.Task == "abandon":
		a.Next, err = finalize.NextEnd, h.finalizer.Abandon(ctx, ref, t.Cause)
	case t.Version > batch.FlowVersion:
		a.Next = finalize.NextAdvance // a state that came after this code: the next look decides
	default:
		err = fmt.Errorf("finalize: no such task: %.20q", t.Task)
	}
	a.Next = finalize.Next(batch.KnownTo(h.answers, t.Version, string(a.Next)))
	return a, err
}
