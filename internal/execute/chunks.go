package execute

import (
	"context"
	"sync"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// chunkBytes is how much of an input file is read at once.
	chunkBytes = 1 << 20
	// mostChunks bounds what is kept of input files: 32 MiB.
	mostChunks = 32
	// longLine is the length in bytes from which a line is read by itself: few
	// others lie in its chunk, and of those many that are never asked for here.
	longLine = chunkBytes / 16
)

// chunks are parts of input files, 1 MiB long and aligned to that. A queue hands
// lines out in any order, so one chunk is asked for again and again: it is read
// once, by whoever comes first, and kept until 32 others are asked for.
type chunks struct {
	kit

	files Files
	calls context.Context // bounds the wait for others

	mu      sync.Mutex
	known   map[batch.Extent]*chunk
	turn    uint64
	waiting chan struct{} // closed when a chunk may be dropped; nil: nobody waits for that
}

// A chunk is read, or being read.
type chunk struct {
	read  chan struct{} // closed once body and err are there
	body  []byte
	err   error
	users int // it is not dropped while somebody copies from it, or waits to
	used  uint64
}

func newChunks(calls context.Context, k kit, files Files) *chunks {
	return &chunks{kit: k, files: files, calls: calls, known: map[batch.Extent]*chunk{}}
}

// line returns a copy of what lies at e in an object of size bytes. It returns
// batch.ErrNoObject.
func (c *chunks) line(e batch.Extent, size int64) ([]byte, error) {
	end := e.Offset + e.Length
	if e.Length >= longLine || end > size {
		return c.fetch(e)
	}
	line := make([]byte, 0, e.Length)
	for at := e.Offset; at < end; at = e.Offset + int64(len(line)) {
		start := at / chunkBytes * chunkBytes
		part := batch.Extent{Key: e.Key, Offset: start, Length: min(chunkBytes, size-start)}
		err := c.use(part, func(body []byte) { line = append(line, body[at-start:min(end-start, part.Length)]...) })
		if err != nil {
			return nil, err
		}
	}
	return line, nil
}

// use has f see a chunk, which it does not keep.
func (c *chunks) use(e batch.Extent, f func(body []byte)) error {
	k, first, err := c.take(e)
	if err != nil {
		return err
	}
	defer c.leave(k)
	if first {
		c.read(k, e)
	}
	select {
	case <-k.read:
	case <-c.calls.Done():
		return endOf(c.calls)
	}
	if k.err == nil {
		f(k.body)
	}
	return k.err
}

// read reads a chunk for all who wait for it. They do not wait for ever, whatever
// becomes of its reader.
func (c *chunks) read(k *chunk, e batch.Extent) {
	k.err = errUnread
	defer func() {
		if k.err != nil {
			c.forget(e)
		}
		close(k.read)
	}()
	k.body, k.err = c.fetch(e)
}

// take returns a chunk with its caller among its users, who is to read it if it
// is the first. It waits while 32 others are in use.
func (c *chunks) take(e batch.Extent) (k *chunk, first bool, err error) {
	for {
		c.mu.Lock()
		k, known := c.known[e]
		if !known && c.drop() {
			k, first = &chunk{read: make(chan struct{})}, true
			c.known[e] = k
		}
		if k != nil {
			c.turn++
			k.used = c.turn
			k.users++
			c.mu.Unlock()
			return k, first, nil
		}
		if c.waiting == nil {
			c.waiting = make(chan struct{})
		}
		waiting := c.waiting
		c.mu.Unlock()
		select {
		case <-waiting:
		case <-c.calls.Done():
			return nil, false, endOf(c.calls)
		}
	}
}

// drop makes place for one more chunk if it can, and reports whether there is
// one; c.mu is held.
func (c *chunks) drop() bool {
	if len(c.known) < mostChunks {
		return true
	}
	var oldest batch.Extent
	for e, k := range c.known {
		if k.users == 0 && (oldest.Length == 0 || k.used < c.known[oldest].used) {
			oldest = e
		}
	}
	delete(c.known, oldest)
	return len(c.known) < mostChunks
}

// leave takes its caller from among k's users.
func (c *chunks) leave(k *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.users--; k.users == 0 && c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
	}
}

// forget drops a chunk that could not be read: who comes next tries again.
func (c *chunks) forget(e batch.Extent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, e)
}

func (c *chunks) fetch(e batch.Extent) (body []byte, err error) {
	err = c.persist(opLimit, func(ctx context.Context) error {
		var err error
		body, err = c.files.Read(ctx, e.Key, e.Offset, e.Length)
		return err
	})
	return body, err
}
