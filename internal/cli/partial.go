package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

const (
	// pageLines is how many finished lines are asked for at once; an answer holds
	// some megabytes of them at most.
	pageLines = "10000"
	// maxPage is how much of such an answer is read, and maxResultLine how long a
	// line may be: an answer of 64 MB, each byte of which may take six in JSON.
	maxPage       = 64 << 20
	maxResultLine = 400 << 20
)

// A page is finished lines of a batch, in the order in which they came.
type page struct {
	lines    []byte
	next     string // the cursor to go on from
	complete bool   // the batch has ended, and this was the rest
	cut      bool   // the last line goes on with the next page
}

// page returns the lines after a cursor, those from the beginning if it is empty.
func (c *client) page(ctx context.Context, id, after string) (page, error) {
	var res *http.Response
	opts := []option.RequestOption{option.WithQuery("limit", pageLines)}
	if after != "" {
		opts = append(opts, option.WithQuery("after", after))
	}
	if err := c.own.Execute(ctx, http.MethodGet, "batches/"+url.PathEscape(id)+"/results", nil, &res, opts...); err != nil {
		return page{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	if err != nil {
		return page{}, fmt.Errorf("reading finished lines: %w", err)
	}
	p := page{
		lines: body, next: res.Header.Get("X-Next-Cursor"),
		complete: res.Header.Get("X-Complete") == "true", cut: res.Header.Get("X-Line-Cut") == "true",
	}
	if p.next == "" {
		return page{}, errors.New("the server told finished lines without a cursor to go on from")
	}
	return p, nil
}

// A sorter takes finished lines apart: answers, and those of requests that have
// none. A nil writer drops its lines.
type sorter struct {
	answers, failures   io.Writer
	nAnswers, nFailures int
	begun               []byte // a line that goes on
}

// add takes what a page has.
func (s *sorter) add(lines []byte) error {
	for len(lines) > 0 {
		line, rest, whole := bytes.Cut(lines, []byte("\n"))
		if len(s.begun)+len(line) > maxResultLine {
			return fmt.Errorf("a finished line is longer than %s", size(maxResultLine))
		}
		if !whole {
			s.begun = append(s.begun, line...)
			return nil
		}
		if err := s.line(append(append(s.begun, line...), '\n')); err != nil {
			return err
		}
		s.begun, lines = nil, rest
	}
	return nil
}

func (s *sorter) line(line []byte) error {
	w := s.failures
	if answered(line) {
		s.nAnswers++
		w = s.answers
	} else {
		s.nFailures++
	}
	if w == nil {
		return nil
	}
	if _, err := w.Write(line); err != nil {
		return fmt.Errorf("writing what was fetched: %w", err)
	}
	return nil
}

// answered reports whether a finished line is of a request that was completed.
func answered(line []byte) bool {
	var l struct {
		Response *struct {
			StatusCode int `json:"status_code"`
		} `json:"response"`
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(line, &l) != nil || l.Response == nil {
		return false
	}
	none := len(l.Error) == 0 || string(l.Error) == "null"
	return none && l.Response.StatusCode/100 == 2
}

// A stretch is what was read of a batch's finished lines.
type stretch struct {
	cursor   string // where to go on: the beginning of a line
	complete bool
	torn     bool // of the lines behind the cursor some were written
}

// readOn gives s the finished lines from a cursor on: those that are there, or
// all until the batch's end if it waits for them.
func (a *app) readOn(ctx context.Context, c *client, id, after string, waits bool, s *sorter) (stretch, error) {
	begin := a.env.Now()
	out := stretch{cursor: after}
	for at := after; ; {
		p, err := a.nextPage(ctx, c, id, at, waits && at != after)
		if err != nil {
			return out, err
		}
		if err := s.add(p.lines); err != nil {
			out.torn = true
			return out, err
		}
		if at = p.next; !p.cut && len(s.begun) == 0 {
			out.cursor = p.next
		}
		out.complete = p.complete
		switch {
		case p.complete, !waits && len(p.lines) == 0:
			return out, nil
		case len(p.lines) > 0:
			continue
		}
		if err := wait(ctx, pace(a.env.Now().Sub(begin), 0, a.env.Random())); err != nil {
			return out, err
		}
	}
}

// nextPage returns the lines after a cursor. If it is patient it outlasts what
// passes.
func (a *app) nextPage(ctx context.Context, c *client, id, after string, patient bool) (page, error) {
	begin := a.env.Now()
	for failures := 1; ; failures++ {
		p, err := c.page(ctx, id, after)
		if err == nil || ctx.Err() != nil || !patient || !passing(err) || a.env.Now().Sub(begin) >= patience {
			return p, err
		}
		if err := wait(ctx, setback(failures, a.env.Random())); err != nil {
			return page{}, err
		}
	}
}

// expired reports whether finished lines are kept in the batch's files only.
func expired(err error) bool {
	var answer *openai.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusGone
}

// partial fetches the lines that there are of a batch that has not ended.
func (a *app) partial(ctx context.Context, c *client, v *view, f resultFlags) error {
	s := &sorter{}
	var read stretch
	open := writeFile
	if f.after != "" {
		open = extendFile
	}
	targets, err := a.fill(f, s, open, func() (err error) {
		read, err = a.readOn(ctx, c, v.ID, f.after, false, s)
		return err
	})
	if foreign(err) {
		return fmt.Errorf("%s has not ended: it is %s, %s, and this server gives results at the end only: musketry watch %s",
			v.ID, v.Status, requestsOr(v, "no request done"), v.ID)
	}
	if err != nil {
		return err
	}
	if err := a.tellPartial(v, f, s, read, targets); err != nil {
		return err
	}
	if read.complete {
		ended, err := a.follow(ctx, c, v.ID, true, &silentDisplay{err: a.env.Stderr})
		if err != nil {
			return err
		}
		return ended.outcome()
	}
	return &outcomeError{code: ExitUnfinished}
}

// tellPartial says what was fetched before the end, and how to go on.
func (a *app) tellPartial(v *view, f resultFlags, s *sorter, read stretch, t fetched) error {
	if a.json {
		t.Batch, t.Status = v.ID, string(v.Status)
		t.Cursor, t.Complete = read.cursor, &read.complete
		return printValue(a.env.Stdout, t)
	}
	told := "so far"
	if read.complete {
		told = "the rest"
	}
	a.note("%s is %s; %s: %s, %d failed, in the order in which they came.", v.ID, v.Status, told, number(s.nAnswers, "answer"), s.nFailures)
	if !read.complete {
		a.note("  the next:  musketry results %s%s%s", v.ID, f.words(), cursorFlag(read.cursor))
		a.note("  as they come: add --follow")
	}
	return nil
}

func cursorFlag(cursor string) string {
	if cursor == "" {
		return ""
	}
	return " --after " + cursor
}

// followResults fetches finished lines as they come, until the batch has ended.
func (a *app) followResults(ctx context.Context, c *client, v *view, f resultFlags) error {
	s := &sorter{}
	var read stretch
	open := appendFile
	if f.after == "" {
		open = streamFile
	}
	targets, err := a.fill(f, s, open, func() (err error) {
		read, err = a.readOn(ctx, c, v.ID, f.after, true, s)
		return err
	})
	if foreign(err) {
		a.note("This server gives results at the end only; waiting for it.")
		ended, err := a.see(ctx, c, v.ID, true, &silentDisplay{err: a.env.Stderr}, "musketry results "+v.ID+f.words())
		if err != nil {
			return err
		}
		return a.wholeFiles(ctx, c, ended, f)
	}
	if ctx.Err() != nil && err != nil {
		a.note("%s goes on without you; %s, %d failed so far.\n  the next:  musketry results %s --follow%s%s",
			v.ID, number(s.nAnswers, "answer"), s.nFailures, v.ID, f.words(), cursorFlag(read.cursor))
		return errInterrupted
	}
	if err != nil {
		a.noteBroken(v, f, s, read)
		return err
	}
	ended, err := a.follow(ctx, c, v.ID, true, &silentDisplay{err: a.env.Stderr})
	if err != nil {
		a.note("All lines of %s are written; how it ended tells: musketry status %s", v.ID, v.ID)
		return err
	}
	if a.json {
		targets.Batch, targets.Status = v.ID, string(ended.Status)
		targets.Cursor, targets.Complete = read.cursor, &read.complete
		if err := printValue(a.env.Stdout, targets); err != nil {
			return err
		}
	} else {
		a.note("%s", ended.summary())
	}
	return ended.outcome()
}

// noteBroken says how to go on after an error, unless the same call does.
func (a *app) noteBroken(v *view, f resultFlags, s *sorter, read stretch) {
	if read.cursor == f.after && !read.torn {
		return
	}
	a.note("%s, %d failed until then.\n  the next:  musketry results %s --follow%s%s",
		number(s.nAnswers, "answer"), s.nFailures, v.ID, f.words(), cursorFlag(read.cursor))
	if read.torn {
		a.note("  Of the lines that come then the first may be written already, one of them in part.")
	}
}

// fill opens what lines go to, gives it to s, and has read fill it.
func (a *app) fill(f resultFlags, s *sorter, open func(string, func(io.Writer) error) error, read func() error) (fetched, error) {
	var t fetched
	into := func(path string, at **target, give func(io.Writer), then func() error) error {
		*at = &target{Path: path}
		count := func(w io.Writer) error {
			n := &counter{w: w}
			give(n)
			err := then()
			(*at).Bytes = n.n
			return err
		}
		if path == "-" {
			return count(a.env.Stdout)
		}
		return open(path, count)
	}
	toAnswers, toFailures := func(w io.Writer) { s.answers = w }, func(w io.Writer) { s.failures = w }
	switch {
	case f.failed:
		return t, into(f.output, &t.Errors, toFailures, read)
	case f.failures == "":
		return t, into(f.output, &t.Output, toAnswers, read)
	}
	return t, into(f.output, &t.Output, toAnswers, func() error { return into(f.failures, &t.Errors, toFailures, read) })
}

// A counter counts the bytes that go to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// streamFile lets fill write a file that is seen as it grows.
func streamFile(path string, fill func(io.Writer) error) error {
	return fillFile(path, os.O_TRUNC, fill)
}

// appendFile is streamFile behind what the file has.
func appendFile(path string, fill func(io.Writer) error) error {
	return fillFile(path, os.O_APPEND, fill)
}

// extendFile lets fill write behind what a file has: the file is as it was if
// that fails. One that is not there comes to be when it is whole.
func extendFile(path string, fill func(io.Writer) error) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return writeFile(path, fill)
	}
	err = appendFile(path, fill)
	if err != nil {
		return errors.Join(err, os.Truncate(path, info.Size()))
	}
	return nil
}

func fillFile(path string, how int, fill func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|how, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}
