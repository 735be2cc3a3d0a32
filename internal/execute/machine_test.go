package execute_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/state"
)

var errFault = errors.New("a fault was injected")

// A fault is what happens to one operation.
type fault int

const (
	none       fault = iota
	failBefore       // it has no effect and an error
	failAfter        // it has its effect, and an error all the same
	dieBefore        // the machine dies before it
	dieAfter         // the machine dies after it: the answer is never heard
)

// A machine is what one process reaches the world through. Once it is dead
// nothing that the process does has any effect.
type machine struct {
	world *world
	plan  func(op string, n int) fault            // for the n-th operation of a kind, from 1
	hides func(handles []string, d time.Duration) // is told what is hidden; nil: nobody is

	skipped atomic.Int64 // by how much its clock is ahead of its timers, in nanoseconds

	mu     sync.Mutex
	hidden map[string]time.Duration // by handle, the last time
	seen   map[string]int
	gone   bool
	pipe   chan struct{} // closed when it dies
}

func (m *machine) dead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

func (m *machine) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pipe == nil {
		m.pipe = make(chan struct{})
	}
	if !m.gone {
		close(m.pipe)
	}
	m.gone = true
}

// dying is closed when the machine dies.
func (m *machine) dying() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pipe == nil {
		m.pipe = make(chan struct{})
	}
	return m.pipe
}

// now is the machine's clock.
func (m *machine) now() time.Time { return time.Now().Add(time.Duration(m.skipped.Load())) }

// do has the effect of one operation, or what the plan says.
func (m *machine) do(ctx context.Context, op string, effect func() error) error {
	if m.dead() {
		return errFault
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f := none
	if m.plan != nil {
		m.mu.Lock()
		if m.seen == nil {
			m.seen = map[string]int{}
		}
		m.seen[op]++
		n := m.seen[op]
		m.mu.Unlock()
		f = m.plan(op, n)
	}
	switch f {
	case failBefore:
		return errFault
	case dieBefore:
		m.die()
		return errFault
	case none, failAfter, dieAfter:
	}
	err := effect()
	switch f {
	case failAfter:
		return errFault
	case dieAfter:
		m.die()
		return errFault
	case none, failBefore, dieBefore:
	}
	return err
}

// ApplyAll applies one after another, so that a machine may die in the middle.
func (m *machine) ApplyAll(ctx context.Context, cs []state.Change) []error {
	errs := make([]error, len(cs))
	for i, c := range cs {
		errs[i] = m.apply(ctx, c)
	}
	return errs
}

func (m *machine) apply(ctx context.Context, c state.Change) error {
	op := "outcome"
	switch c.To().(type) {
	case state.Processing:
		op = "start"
	case state.Pending:
		op = "retry"
	case state.Claimed, state.Completed, state.Failed, state.Canceled:
	}
	return m.do(ctx, op, func() error {
		before := m.world.stored(ctx, c.Spec().Key.Line)
		if err := m.world.store.Apply(ctx, c); err != nil {
			return err
		}
		if c.Spec() != before.Spec { // which a store may write anew
			m.world.broken("line %d was %+v and is written as %+v", c.Spec().Key.Line, before.Spec, c.Spec())
		}
		if after := m.world.stored(ctx, c.Spec().Key.Line); before.Phase.Status().Terminal() && before.Phase != after.Phase {
			m.world.broken("line %d was %v and became %v", c.Spec().Key.Line, before.Phase, after.Phase)
		}
		return nil
	})
}

func (m *machine) Request(ctx context.Context, k state.Key) (rec state.Record, err error) {
	err = m.do(ctx, "request", func() error {
		var err error
		rec, err = m.world.store.Request(ctx, k)
		return err
	})
	return rec, err
}

func (m *machine) Beat(ctx context.Context, w state.Worker) error {
	op := "beat"
	if w.Ended {
		op = "ended"
	}
	return m.do(ctx, op, func() error { return m.world.store.Beat(ctx, w) })
}

func (m *machine) Worker(ctx context.Context, id string) (w state.Worker, err error) {
	err = m.do(ctx, "worker", func() error {
		var err error
		w, err = m.world.store.Worker(ctx, id)
		return err
	})
	return w, err
}

func (m *machine) UpdateLimit(
	ctx context.Context, id string, change func(*limit.Record) error,
) (r limit.Record, err error) {
	err = m.do(ctx, "limit", func() error {
		r, err = m.world.store.UpdateLimit(ctx, id, change)
		return err
	})
	return r, err
}

func (m *machine) Batch(ctx context.Context, ref batch.Ref) (b batch.Batch, err error) {
	err = m.do(ctx, "batch", func() error {
		var err error
		b, err = m.world.store.Batch(ctx, ref)
		return err
	})
	return b, err
}

func (m *machine) UpdateBatch(
	ctx context.Context, ref batch.Ref, change func(*batch.Batch) error,
) (b batch.Batch, err error) {
	err = m.do(ctx, "ask", func() error {
		var err error
		b, err = m.world.store.UpdateBatch(ctx, ref, change)
		return err
	})
	return b, err
}

func (m *machine) PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error {
	return m.do(ctx, "counter", func() error { return m.world.store.PutCounter(ctx, batchID, c) })
}

func (m *machine) AppendJournal(ctx context.Context, batchID string, e batch.Entry) (n int, err error) {
	err = m.do(ctx, "journal", func() error {
		var err error
		n, err = m.world.store.AppendJournal(ctx, batchID, e)
		return err
	})
	return n, err
}

func (m *machine) Progress(ctx context.Context, batchID string) (c batch.Counts, err error) {
	err = m.do(ctx, "progress", func() error {
		var err error
		c, err = m.world.store.Progress(ctx, batchID)
		return err
	})
	return c, err
}

func (m *machine) Read(ctx context.Context, key string, offset, length int64) (body []byte, err error) {
	err = m.do(ctx, "read", func() error {
		var err error
		body, err = m.world.files.Read(ctx, key, offset, length)
		return err
	})
	return body, err
}

func (m *machine) Put(ctx context.Context, key string, body []byte) error {
	return m.do(ctx, "put", func() error { return m.world.files.Put(ctx, key, body) })
}

func (m *machine) ReceiveMessages(ctx context.Context, n int, visibility, wait time.Duration) (got []batch.Delivery, err error) {
	err = m.do(ctx, "receive", func() error {
		var err error
		got, err = m.world.queue.ReceiveMessages(ctx, n, visibility, wait)
		for _, d := range got {
			m.world.hand(d)
		}
		return err
	})
	return got, err
}

func (m *machine) ChangeVisibility(ctx context.Context, handles []string, d time.Duration) error {
	return m.do(ctx, "visibility", func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.hidden == nil {
			m.hidden = map[string]time.Duration{}
		}
		for _, h := range handles {
			m.hidden[h] = d
		}
		if m.hides != nil {
			m.hides(handles, d)
		}
		return m.world.queue.ChangeVisibility(ctx, handles, d)
	})
}

func (m *machine) Delete(ctx context.Context, handles []string) error {
	return m.do(ctx, "delete", func() error {
		for _, h := range handles {
			m.world.checkAck(m.world.delivered(h)) //nolint:contextcheck // who checks is not the worker
		}
		return m.world.queue.Delete(ctx, handles)
	})
}

func (m *machine) Wake(ctx context.Context, token string) error {
	return m.do(ctx, "wake", func() error { return m.world.flow.Wake(ctx, token) })
}

// callerKey finds the machine that makes a call in the call's context.
type callerKey struct{}

// Call calls the upstream; a machine that dies takes its calls with it.
func (m *machine) Call(ctx context.Context, c execute.Call) (reply execute.Reply, err error) {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, callerKey{}, m))
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	dying := m.dying()
	go func() {
		select {
		case <-dying:
			cancel()
		case <-over:
		}
	}()
	err = m.do(ctx, "call", func() error {
		var err error
		reply, err = m.world.up.call(ctx, c)
		return err
	})
	return reply, err
}

var (
	_ execute.Requests = (*machine)(nil)
	_ execute.Workers  = (*machine)(nil)
	_ execute.Batches  = (*machine)(nil)
	_ execute.Files    = (*machine)(nil)
	_ execute.Queue    = (*machine)(nil)
	_ execute.Flow     = (*machine)(nil)
	_ execute.Caller   = (*machine)(nil)
)
