package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
)

const (
	// firstPart and largestPart are the sizes of the parts in which an answer of unknown length is read, in bytes.
	firstPart, largestPart = 4 << 10, 1 << 20

	// copies is how often an answer is there at once: in the parts that it came in and as a whole, and later as it came and
	// as it is written down.
	copies = 2
)

// A Room is memory that calls share.
type Room interface {
	// Grow is asked before an answer takes so many bytes more, copies of it included. It waits until there is room, and
	// meanwhile nothing more is read. It returns ctx's error alone.
	Grow(ctx context.Context, bytes int64) error
}

// A meter asks for the room that an answer takes.
type meter struct {
	ctx   context.Context
	room  Room
	asked int64
}

// need asks for as much as makes total bytes, if that was not asked for yet.
func (m *meter) need(total int64) error {
	if m.room == nil || total <= m.asked {
		return nil
	}
	more := total - m.asked
	m.asked = total
	return m.room.Grow(m.ctx, more)
}

// readBounded reads a body of at most limit bytes, or returns a *TooLargeError. What it returns has the size of what came.
func readBounded(res *http.Response, limit int64, m *meter) ([]byte, error) {
	if res.ContentLength > limit {
		return nil, &TooLargeError{Limit: limit}
	}
	size := int64(firstPart)
	if res.ContentLength >= 0 {
		size = min(res.ContentLength+1, largestPart) // one more, to see the end
	}
	var parts [][]byte
	for total := int64(0); ; {
		if err := m.need(copies * (total + size)); err != nil {
			return nil, err
		}
		part := make([]byte, size)
		n, err := fill(res.Body, part)
		total += int64(n)
		parts = append(parts, part[:n])
		switch {
		case total > limit:
			return nil, &TooLargeError{Limit: limit}
		case errors.Is(err, io.EOF):
			if len(parts) == 1 {
				return parts[0], nil
			}
			return slices.Concat(parts...), nil
		case err != nil:
			return nil, err
		}
		size = min(total, largestPart)
	}
}

// fill reads until part is full, or r ends or fails. Unlike io.ReadFull it tells an end from a broken connection.
func fill(r io.Reader, part []byte) (n int, err error) {
	for n < len(part) && err == nil {
		var more int
		more, err = r.Read(part[n:])
		n += more
	}
	if n == len(part) {
		return n, nil // whatever came with the last byte comes again
	}
	return n, err
}
