package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// Read reads of an object.
func (p ports) Read(ctx context.Context, key string, offset, length int64) (body []byte, err error) {
	o := operation{name: "Get", key: fmt.Sprintf("%s@%d+%d", key, offset, length)}
	err = p.call(ctx, o, func(ctx context.Context) error {
		var err error
		body, err = p.world.files.Read(ctx, key, offset, length)
		return err
	})
	return body, err
}

// Put writes an object.
func (p ports) Put(ctx context.Context, key string, body []byte) error {
	body = bytes.Clone(body) // it may be written late
	return p.call(ctx, operation{name: "Put", key: key, writes: true}, func(ctx context.Context) error {
		return p.world.files.Put(ctx, key, body)
	})
}

// PutNew writes an object unless another is there.
func (p ports) PutNew(ctx context.Context, key string, body []byte) error {
	body = bytes.Clone(body)
	return p.call(ctx, operation{name: "PutNew", key: key, writes: true}, func(ctx context.Context) error {
		return p.world.files.PutNew(ctx, key, body)
	})
}

// Open reads an object from offset on.
func (p ports) Open(ctx context.Context, key string, offset int64) (body io.ReadCloser, err error) {
	what := fmt.Sprintf("%s@%d", key, offset)
	cut := int64(-1)
	err = p.call(ctx, operation{name: "Open", key: what}, func(ctx context.Context) error {
		opened, err := p.world.files.Open(ctx, key, offset)
		if err != nil {
			return err
		}
		body = opened
		if d := p.world.sched.dice(p.name + " cut " + what); !p.world.calm() && d.chance(p.world.plan.rates[readBroken]) {
			cut = int64(d.intn(2_000))
		}
		return nil
	})
	if err == nil && cut >= 0 {
		return &brokenReader{ReadCloser: body, left: cut, process: p.process}, nil
	}
	return body, err
}

// Holds compares an object.
func (p ports) Holds(ctx context.Context, key string, body []byte) (same bool, err error) {
	err = p.call(ctx, operation{name: "Holds", key: key}, func(ctx context.Context) error {
		held, err := p.world.files.Holds(ctx, key, body)
		same = held
		return err
	})
	return same, err
}

// A brokenReader breaks off after some bytes.
type brokenReader struct {
	io.ReadCloser
	*process

	left int64
}

func (r *brokenReader) Read(b []byte) (int, error) {
	if r.left <= 0 {
		r.world.hit(readBroken)
		return 0, errBroken
	}
	n, err := r.ReadCloser.Read(b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	return n, err
}

// StartParts begins an upload.
func (p ports) StartParts(ctx context.Context, key string) (id string, err error) {
	err = p.call(ctx, operation{name: "StartParts", key: key, writes: true}, func(ctx context.Context) error {
		started, err := p.world.files.StartParts(ctx, key)
		if err == nil {
			id = started
		}
		return err
	})
	return id, err
}

// PutPart writes a part of an upload.
func (p ports) PutPart(ctx context.Context, key, id string, n int, body []byte) (sum string, err error) {
	body = bytes.Clone(body)
	o := operation{name: "PutPart", key: key + "#" + strconv.Itoa(n), writes: true}
	err = p.call(ctx, o, func(ctx context.Context) error {
		put, err := p.world.files.PutPart(ctx, key, id, n, body)
		if err == nil {
			sum = put
		}
		return err
	})
	return sum, err
}

// FinishParts joins an upload's parts.
func (p ports) FinishParts(ctx context.Context, key, id string, sums []string) error {
	return p.call(ctx, operation{name: "FinishParts", key: key, writes: true}, func(ctx context.Context) error {
		return p.world.files.FinishParts(ctx, key, id, sums)
	})
}

// AbortParts drops an upload.
func (p ports) AbortParts(ctx context.Context, key, id string) error {
	return p.call(ctx, operation{name: "AbortParts", key: key, writes: true}, func(ctx context.Context) error {
		return p.world.files.AbortParts(ctx, key, id)
	})
}

// Send enqueues messages.
func (p ports) Send(ctx context.Context, ms []batch.Message) error {
	w := p.world
	ms = slices.Clone(ms)
	o := operation{name: "Send", key: fmt.Sprintf("%s/%d+%d", w.nick(ms[0].Batch), ms[0].Line, len(ms)), writes: true}
	return p.call(ctx, o, func(context.Context) error {
		w.check.sent(ms)
		for _, m := range ms {
			w.queue.send(m)
		}
		return nil
	})
}

// ReceiveMessages receives messages, and waits for a first.
func (p ports) ReceiveMessages(ctx context.Context, n int, visibility, wait time.Duration) (got []batch.Delivery, err error) {
	w := p.world
	receive := func() (got []batch.Delivery) {
		for _, m := range w.queue.receive(n, visibility) {
			w.check.received(p.process, m)
			got = append(got, m.delivery())
		}
		return got
	}
	o := operation{name: "ReceiveMessages", key: strconv.Itoa(n), writes: true}
	var next time.Duration
	var comes bool
	err = p.call(ctx, o, func(ctx context.Context) error {
		handed := receive()
		if ctx.Err() == nil {
			got = handed
		}
		next, comes = w.queue.next()
		return nil
	})
	if err == nil && len(got) == 0 && wait > 0 {
		if comes {
			wait = min(wait, max(next-w.sched.now(), 0))
		}
		if err = w.sched.await(ctx, p.process, p.name+" polls", wait); err == nil {
			got = receive()
		}
	}
	return got, err
}

// ChangeVisibility hides received messages for d.
func (p ports) ChangeVisibility(ctx context.Context, handles []string, d time.Duration) error {
	handles = slices.Sorted(slices.Values(handles))
	o := operation{name: "ChangeVisibility", key: strings.Join(handles, ","), writes: true}
	return p.call(ctx, o, func(context.Context) error { return p.world.queue.changeVisibility(handles, d) })
}

// Delete deletes received messages.
func (p ports) Delete(ctx context.Context, handles []string) error {
	handles = slices.Sorted(slices.Values(handles))
	o := operation{name: "DeleteMessages", key: strings.Join(handles, ","), writes: true}
	return p.call(ctx, o, func(context.Context) error {
		for _, h := range handles {
			p.world.queue.remove(p.process, h)
		}
		return nil
	})
}

// Start starts a batch's flow.
func (p ports) Start(ctx context.Context, b batch.Batch) error {
	o := operation{name: "Start", key: p.world.nick(b.ID), writes: true}
	return p.call(ctx, o, func(context.Context) error { return p.world.flows.start(b, 1) })
}

// Wake wakes a flow that waits with token.
func (p ports) Wake(ctx context.Context, token string) error {
	w := p.world
	o := operation{name: "Wake", key: token, writes: true}
	return p.call(ctx, o, func(context.Context) error {
		if d := w.sched.dice("lost wake " + p.name + token); !w.calm() && d.chance(w.plan.rates[wakeLost]) {
			w.hit(wakeLost)
			return nil
		}
		w.flows.wake(token)
		return nil
	})
}
