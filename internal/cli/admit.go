package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// An extent is how large a file of requests is, once it is unpacked.
type extent struct {
	bytes   int64
	lines   int64 // that are not blank
	longest int64 // the longest line's bytes, its newline left out
	at      int64 // which line that is, counted from 1

	number, length int64 // of the line that is read
	filled         bool  // it is not blank
}

// take counts what comes next.
func (e *extent) take(chunk []byte) {
	e.bytes += int64(len(chunk))
	for _, b := range chunk {
		switch b {
		case '\n':
			e.endLine()
			continue
		case ' ', '\t', '\r':
		default:
			e.filled = true
		}
		e.length++
	}
}

func (e *extent) endLine() {
	e.number++
	if e.filled {
		e.lines++
	}
	if e.length > e.longest {
		e.longest, e.at = e.length, e.number
	}
	e.length, e.filled = 0, false
}

// admit asks, before a large file is sent, whether its tenant's limits have room
// for it. A server that does not tell its limits, or not now, refuses for itself.
func (a *app) admit(ctx context.Context, c *client, in *input) error {
	if in.bytes <= pieceBytes {
		return nil
	}
	u, _, err := c.usage(ctx)
	if err != nil {
		return ctx.Err()
	}
	m, err := in.scan(ctx)
	if err != nil {
		return err
	}
	return u.refusal(in, m)
}

// scan reads the file once, in bounded memory.
func (in *input) scan(ctx context.Context) (extent, error) {
	r, err := in.lines()
	if err != nil {
		return extent{}, err
	}
	var e extent
	chunk := make([]byte, 256<<10)
	for ctx.Err() == nil {
		n, err := r.Read(chunk)
		e.take(chunk[:n])
		switch {
		case errors.Is(err, io.EOF):
			if e.length > 0 {
				e.endLine()
			}
			return e, nil
		case err != nil:
			return e, fmt.Errorf("reading %s: %w", in.name, err)
		}
	}
	return e, ctx.Err()
}

// refusal returns why a file would be refused; nil if nothing speaks against it.
func (u *usage) refusal(in *input, m extent) error {
	over := func(limit *int64, n int64) bool { return limit != nil && n > *limit }
	used := func(n *int64) int64 {
		if n == nil {
			return 0
		}
		return *n
	}
	switch l := u.Limits; {
	case u.Key.ReadOnly:
		return errors.New("this key may read only: nothing is sent; ask whoever runs the deployment for one that may write")
	case over(l.FileBytes, m.bytes):
		return fmt.Errorf("%s has %s, and this deployment takes files of %s at most; split it", in.name, size(m.bytes), size(*l.FileBytes))
	case over(l.Lines, m.lines):
		return fmt.Errorf("%s has %d requests, and a batch may have %d at most; split it", in.name, m.lines, *l.Lines)
	case over(l.LineBytes, m.longest):
		return fmt.Errorf("%s, line %d has %s, and a line may have %s at most", in.name, m.at, size(m.longest), size(*l.LineBytes))
	case over(l.StoredBytes, used(u.InUse.StoredBytes)+m.bytes):
		return fmt.Errorf("%s has %s, and of the %s that your tenant may store %s are in use; delete files that are done with "+
			"(musketry files list)", in.name, size(m.bytes), size(*l.StoredBytes), size(used(u.InUse.StoredBytes)))
	case over(l.Batches, used(u.InUse.Batches)+1):
		return fmt.Errorf("your tenant has %d unfinished batches, and may have %d at most; wait until one has ended (musketry list)",
			used(u.InUse.Batches), *l.Batches)
	case over(l.Requests, used(u.InUse.Requests)+m.lines):
		return fmt.Errorf("%s has %d requests, and of the %d that your tenant may have unfinished %d are; wait until a batch has ended "+
			"(musketry list)", in.name, m.lines, *l.Requests, used(u.InUse.Requests))
	}
	return nil
}
