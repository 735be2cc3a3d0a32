package execute

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// callMemory is what a call takes from its start to its end besides its line,
	// in bytes: 256 KiB that HTTP/2 may bring unread, buffers, and usualAnswer.
	callMemory = 384 << 10
	// usualAnswer is how much of an answer that is enough for, in bytes.
	usualAnswer = 64 << 10
	// programMemory is what the program takes without calls, in bytes.
	programMemory = 48 << 20
	// largestCall is what the largest call may take, in bytes: its line, and its
	// answer of 64 MB three times, as it is put together from a stream.
	largestCall = batch.MaxLineBytes + 3*64<<20
)

// A room is the memory that calls share. Whoever has to grow beyond it waits
// until others have given back as much. Lest all wait for one another, one need
// not: the oldest that waits, until what is held has fallen to the shared again.
// So at most the shared and one call are held, and that one ends.
type room struct {
	shared int64 // bytes

	mu       sync.Mutex
	held     int64
	turn     uint64
	first    *hold // the one that need not wait; nil: nobody has to
	growing  []*waiter
	entering []*waiter
}

// A hold is what one request holds of a room: its line, its call and its answer,
// and then its result line until that is stored.
type hold struct {
	room  *room
	age   uint64
	bytes int64
	grown int64 // by its answer
}

// A waiter is a hold that waits for more.
type waiter struct {
	hold    *hold
	bytes   int64
	granted chan struct{} // closed when it has them
}

// newRoom returns the room of a process that may have so many bytes, garbage
// included: two thirds of what is left of them besides the program and the
// chunks of inputs.
func newRoom(memory int64) *room {
	all := (memory - programMemory - mostChunks*chunkBytes) / 3 * 2
	return &room{shared: max(all-min(largestCall, all/2), callMemory)}
}

// enter has a request hold what a call with its line takes at first, once nobody
// waits who has begun and there is room for it.
func (r *room) enter(ctx context.Context, line int64) (*hold, error) {
	r.mu.Lock()
	r.turn++
	h := &hold{room: r, age: r.turn}
	w := &waiter{hold: h, bytes: min(callMemory+line, r.shared), granted: make(chan struct{})}
	r.entering = append(r.entering, w)
	r.serve()
	r.mu.Unlock()
	return h, r.wait(ctx, w)
}

// Grow waits until h may hold so many bytes more than before. It returns ctx's
// error alone.
func (h *hold) Grow(ctx context.Context, bytes int64) error {
	r := h.room
	r.mu.Lock()
	more := max(h.grown+bytes-usualAnswer, 0) - max(h.grown-usualAnswer, 0)
	h.grown += bytes
	w := &waiter{hold: h, bytes: more, granted: make(chan struct{})}
	at, _ := slices.BinarySearchFunc(r.growing, w, func(a, b *waiter) int { return cmp.Compare(a.hold.age, b.hold.age) })
	r.growing = slices.Insert(r.growing, at, w)
	r.serve()
	r.mu.Unlock()
	return r.wait(ctx, w)
}

// keep has h hold so many bytes from now on, which are no more than before; none
// ends it.
func (h *hold) keep(bytes int64) {
	if h == nil {
		return
	}
	r := h.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held += bytes - h.bytes
	h.bytes = bytes
	if bytes == 0 && r.first == h {
		r.first = nil
	}
	r.serve()
}

// isShort reports whether somebody waits.
func (r *room) isShort() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.growing)+len(r.entering) > 0
}

// serve lets on whoever may go on; r.mu is held.
func (r *room) serve() {
	if r.held <= r.shared {
		r.first = nil
	}
	r.growing = slices.DeleteFunc(r.growing, func(w *waiter) bool {
		if r.first == nil && r.held+w.bytes > r.shared {
			r.first = w.hold
		}
		return r.first == w.hold && r.grant(w) || r.grantShared(w)
	})
	for len(r.growing) == 0 && len(r.entering) > 0 && r.grantShared(r.entering[0]) {
		r.entering = r.entering[1:]
	}
}

// grantShared gives w what it waits for if that is there; r.mu is held.
func (r *room) grantShared(w *waiter) bool {
	return (w.bytes == 0 || r.held+w.bytes <= r.shared) && r.grant(w)
}

func (r *room) grant(w *waiter) bool {
	r.held += w.bytes
	w.hold.bytes += w.bytes
	close(w.granted)
	return true
}

// wait waits until w has what it waits for.
func (r *room) wait(ctx context.Context, w *waiter) error {
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	other := func(o *waiter) bool { return o == w }
	r.growing, r.entering = slices.DeleteFunc(r.growing, other), slices.DeleteFunc(r.entering, other)
	r.serve() // whoever waited behind it
	return ctx.Err()
}
