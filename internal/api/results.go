package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
)

const (
	defaultResults = 1_000  // lines of a page
	mostResults    = 10_000 // lines of a page
	// mostEntries is how many entries of a journal, and so segments, are read
	// for a page.
	mostEntries = 200
	// segmentsAtOnce is how many of them are read at once.
	segmentsAtOnce = 16
	// longestCursor is the longest cursor in bytes.
	longestCursor = 200
)

// batchResults answers finished lines of a batch, while it runs and after, in
// the order in which they were recorded: as many as limit says and one answer
// has room for. It tells the cursor to go on from, and whether the batch has
// ended and all its lines were told. A line that no answer has room for is cut,
// which a header says; it goes on with the next answer.
func (a *api) batchResults(w http.ResponseWriter, r *http.Request, tenant string) error {
	b, err := a.batch(r, tenant)
	if err != nil {
		return err
	}
	q, err := query(r)
	if err != nil {
		return err
	}
	from, err := parseCursor(q.Get("after"), b.ID)
	if err != nil {
		return err
	}
	p, err := readPage(url.Values{"limit": q["limit"]}, "", defaultResults, mostResults, false)
	if err != nil {
		return err
	}
	entries, err := a.Batches.Journal(r.Context(), b.ID, from.entry-1, mostEntries)
	if err != nil {
		return fmt.Errorf("api: read journal: %w", err)
	}
	pieces, all := piecesOf(entries, from, p.Limit, int64(a.config.MaxAnswer))
	body, err := a.readPieces(r.Context(), b, pieces)
	if err != nil {
		return err
	}
	sent := a.wholeLines(body, p.Limit)
	next := advance(from, pieces, int64(len(sent)))
	ended := b.WriteOut.Journal > 0 && next.entry > b.WriteOut.Journal ||
		b.WriteOut.Journal == 0 && b.Status.Terminal() && all && len(sent) == len(body) && len(entries) < mostEntries
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Next-Cursor", next.String())
	h.Set("X-Complete", strconv.FormatBool(ended))
	if len(sent) > 0 && sent[len(sent)-1] != '\n' {
		h.Set("X-Line-Cut", "true")
	}
	h.Set("Content-Length", strconv.Itoa(len(sent)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(sent) // the client is gone: nobody is left to tell
	return nil
}

// A cursor is where in a batch's journal to go on.
type cursor struct {
	batch  string
	entry  int   // the first entry not told whole, which may not exist yet
	offset int64 // in its segment
}

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s.%d.%d", c.batch, c.entry, c.offset))
}

// parseCursor reads what String wrote for a batch; nothing is the start.
func parseCursor(text, batchID string) (cursor, error) {
	start := cursor{batch: batchID, entry: 1}
	if text == "" {
		return start, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text[:min(len(text), longestCursor)])
	parts := strings.Split(string(raw), ".")
	if err == nil && len(parts) == 3 && parts[0] == batchID {
		entry, err1 := strconv.ParseInt(parts[1], 10, 32)
		offset, err2 := strconv.ParseInt(parts[2], 10, 64)
		c := cursor{batch: batchID, entry: int(entry), offset: offset}
		if err1 == nil && err2 == nil && entry >= 1 && entry < math.MaxInt32 && offset >= 0 && c.String() == text {
			return c, nil
		}
	}
	return start, badRequest("after", batch.CodeInvalidValue,
		"Invalid 'after': '%s' is not a cursor of this batch's results.", clip(text))
}

// A piece is a run of lines in a segment. The last one of an entry may be empty.
type piece struct {
	entry   int
	segment string
	offset  int64
	length  int64
	last    bool // nothing of its entry follows
}

// A plan gathers what is read for one answer.
type plan struct {
	pieces []piece
	lines  int   // about how many still fit
	room   int64 // bytes that still fit
}

// piecesOf returns the pieces that entries have from a cursor on, up to room
// bytes and about limit lines, and whether these are all.
func piecesOf(entries []batch.Entry, from cursor, limit int, room int64) (pieces []piece, all bool) {
	p := plan{lines: limit, room: room}
	for _, e := range entries {
		skip := int64(0)
		if e.N == from.entry {
			skip = from.offset
		}
		for _, at := range e.Spans {
			if !p.add(e, at, skip) {
				return p.pieces, false
			}
		}
		if last := p.last(e.N); last != nil {
			last.last = true
		} else {
			p.pieces = append(p.pieces, piece{entry: e.N, last: true})
		}
	}
	return p.pieces, true
}

// add plans to read what lies in a span of e from skip on, and reports whether
// all of it fits.
func (p *plan) add(e batch.Entry, at batch.LineSpan, skip int64) bool {
	begin, end := max(at.Offset, skip), at.Offset+at.Length
	if begin >= end {
		return true // told already
	}
	if p.lines <= 0 || p.room <= 0 {
		return false
	}
	length := min(end-begin, p.room)
	if last := p.last(e.N); last != nil && last.offset+last.length == begin {
		last.length += length
	} else {
		p.pieces = append(p.pieces, piece{entry: e.N, segment: e.Segment, offset: begin, length: length})
	}
	p.lines, p.room = p.lines-1, p.room-length
	return begin+length == end
}

// last returns the last piece if it is of this entry, and nil otherwise.
func (p *plan) last(entry int) *piece {
	if n := len(p.pieces) - 1; n >= 0 && p.pieces[n].entry == entry {
		return &p.pieces[n]
	}
	return nil
}

// readPieces returns the bytes of pieces, one after another.
func (a *api) readPieces(ctx context.Context, b batch.Batch, pieces []piece) ([]byte, error) {
	size := int64(0)
	for _, p := range pieces {
		size += p.length
	}
	body := make([]byte, size)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(segmentsAtOnce)
	at := int64(0)
	for _, p := range pieces {
		to := body[at : at+p.length]
		if at += p.length; len(to) == 0 {
			continue
		}
		group.Go(func() error {
			got, err := a.Objects.Read(ctx, batch.SegmentKey(b.ID, p.segment), p.offset, p.length)
			copy(to, got)
			return err
		})
	}
	switch err := group.Wait(); {
	case errors.Is(err, batch.ErrNoObject):
		return nil, resultsExpired()
	case err != nil:
		return nil, fmt.Errorf("api: read results: %w", err)
	}
	return body, nil
}

// resultsExpired is a 410: a batch's segments are erased before its files are.
func resultsExpired() error {
	return &refusalError{
		status: http.StatusGone, code: "results_expired",
		message: "The results of this batch are not kept in the order of recording any more. " +
			"Read the files that its output_file_id and error_file_id name.",
	}
}

// wholeLines returns as many of body's first lines as limit and one answer
// allow, or what one answer can carry of the first line.
func (a *api) wholeLines(body []byte, limit int) []byte {
	end := 0
	for ; limit > 0 && end < len(body); limit-- {
		n := bytes.IndexByte(body[end:], '\n')
		if n < 0 {
			break
		}
		end += n + 1
	}
	lines := body[:end]
	if end == 0 {
		lines = body // the start of a line that is longer
	}
	sent := a.fitting(lines, math.MaxInt64)
	if n := bytes.LastIndexByte(sent, '\n'); n >= 0 {
		return sent[:n+1]
	}
	return sent
}

// advance returns where to go on after n bytes of pieces.
func advance(from cursor, pieces []piece, n int64) cursor {
	for _, p := range pieces {
		if n < p.length {
			from.entry, from.offset = p.entry, p.offset+n
			return from
		}
		n -= p.length
		from.entry, from.offset = p.entry, p.offset+p.length
		if p.last {
			from.entry, from.offset = p.entry+1, 0
		}
	}
	return from
}
