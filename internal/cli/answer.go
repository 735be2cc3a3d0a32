package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// probeBytes is how much of a file is looked at to find where a line lies.
	probeBytes = 64 << 10
	// scanned is how many pages of finished lines are looked through for one
	// request before the batch's end, some megabytes each.
	scanned = 16
)

// answer returns the result line of a request, nil if it has none yet or if it is
// too far off to be looked for before the batch's end.
func (a *app) answer(ctx context.Context, c *client, v *view, r *request) ([]byte, error) {
	if r.FinishedAt == 0 {
		return nil, nil
	}
	if !v.status().Terminal() {
		return a.scanFor(ctx, c, r)
	}
	fileID := v.ErrorFileID
	if batch.Outcome(r.Status) == batch.OutcomeCompleted {
		fileID = v.OutputFileID
	}
	if fileID == "" {
		return nil, nil
	}
	f := &finder{a: a, c: c, fileID: fileID, batch: v.ID, want: r.Line}
	return f.find(ctx)
}

// scanFor looks for a request's line among those that are finished.
func (a *app) scanFor(ctx context.Context, c *client, r *request) ([]byte, error) {
	var found []byte
	s := &sorter{}
	seek := func(line []byte) {
		if id := lineID(line); id == r.ID {
			found = bytes.Clone(line)
		}
	}
	s.answers, s.failures = seeker(seek), seeker(seek)
	after := ""
	for range scanned {
		p, err := c.page(ctx, r.BatchID, after)
		if foreign(err) || expired(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if err := s.add(p.lines); err != nil {
			return nil, err
		}
		if found != nil || p.complete || len(p.lines) == 0 {
			break
		}
		after = p.next
	}
	return found, nil
}

// A seeker is a writer that looks at each line.
type seeker func(line []byte)

func (s seeker) Write(line []byte) (int, error) {
	s(line)
	return len(line), nil
}

// lineID returns the id of the request that a result line is of.
func lineID(line []byte) string {
	var l struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(line, &l) != nil {
		return ""
	}
	return l.ID
}

// A finder finds a request's line in a file of results, whose lines are in the
// order of the input, by halves: a few small reads, however large the file is.
type finder struct {
	a      *app
	c      *client
	fileID string
	batch  string
	want   int // the line of the input
}

// errNoRanges reports a server that gives files as a whole only.
var errNoRanges = errors.New("the server gives this file as a whole only")

func (f *finder) find(ctx context.Context) ([]byte, error) {
	first, total, err := f.read(ctx, 0, probeBytes)
	if err != nil || total == 0 {
		return nil, err
	}
	// What is wanted begins at low or behind, and before high.
	low, high := int64(0), total
	buf, at := first, int64(0)
	for high-low > probeBytes {
		middle := low + (high-low)/2
		begin, number, err := f.lineAfter(ctx, middle, high)
		if err != nil {
			return nil, err
		}
		switch {
		case begin >= high || number > f.want:
			high = middle + 1 // no line begins between them
		case number == f.want:
			low, high = begin, begin
		default:
			low = begin
		}
	}
	if low != at {
		if buf, _, err = f.read(ctx, low, probeBytes); err != nil {
			return nil, err
		}
		at = low
	}
	return f.walk(ctx, buf, at, total)
}

// walk returns the wanted line, of those that begin with buf at an offset; nil if
// it is not among them.
func (f *finder) walk(ctx context.Context, buf []byte, at, total int64) ([]byte, error) {
	for at < total {
		var err error
		if buf, err = f.whole(ctx, buf, at, total); err != nil {
			return nil, err
		}
		line, rest, _ := bytes.Cut(buf, []byte("\n"))
		number, ok := f.number(line)
		if ok && number >= f.want || len(line) > maxResultLine {
			if number != f.want {
				line = nil
			}
			return line, nil
		}
		at += int64(len(line)) + 1
		buf = rest
	}
	return nil, nil
}

// whole returns buf, which lies at an offset, with as much behind it as its first
// line has.
func (f *finder) whole(ctx context.Context, buf []byte, at, total int64) ([]byte, error) {
	for !bytes.Contains(buf, []byte("\n")) && at+int64(len(buf)) < total && len(buf) <= maxResultLine {
		more, _, err := f.read(ctx, at+int64(len(buf)), ahead(len(buf)))
		if err != nil {
			return nil, err
		}
		buf = append(buf, more...)
	}
	return buf, nil
}

// lineAfter returns where the first line begins behind an offset, and its number;
// end if there is none before it.
func (f *finder) lineAfter(ctx context.Context, offset, end int64) (begin int64, number int, err error) {
	for at := offset; at < end; {
		buf, _, err := f.read(ctx, at, ahead(int(at-offset)))
		if err != nil {
			return 0, 0, err
		}
		n := bytes.IndexByte(buf, '\n')
		if n < 0 {
			at += int64(len(buf))
			continue
		}
		begin = at + int64(n) + 1
		if begin >= end {
			return end, 0, nil
		}
		head := buf[n+1:]
		if len(head) < batch.MaxCustomID {
			if head, _, err = f.read(ctx, begin, probeBytes); err != nil {
				return 0, 0, err
			}
		}
		number, ok := f.number(head)
		if !ok {
			return 0, 0, errors.New("the file has a line that names no request of the batch")
		}
		return begin, number, nil
	}
	return end, 0, nil
}

// number returns the line of the input that a result line is of, by its beginning.
func (f *finder) number(head []byte) (int, bool) {
	rest, ok := strings.CutPrefix(string(head[:min(len(head), batch.MaxCustomID)]), `{"id":"`)
	id, _, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 {
		return 0, false
	}
	return batch.ParseRequestID(f.batch, id)
}

// ahead returns how much of a line is read next of which so much was read in
// vain: as much again.
func ahead(length int) int64 { return int64(min(max(length, probeBytes), pieceBytes)) }

// read returns some bytes of the file from an offset on, and the file's size.
func (f *finder) read(ctx context.Context, offset, most int64) ([]byte, int64, error) {
	p, err := f.a.chunk(ctx, f.c, f.fileID, offset, most)
	if err == nil && p.rest != nil {
		_ = p.rest.Close()
		err = errNoRanges
	}
	return p.body, p.total, err
}
