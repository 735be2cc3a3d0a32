package api_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

// A reading is one who reads a batch's results.
type reading struct {
	w      *world
	id     string
	cursor string
	text   strings.Builder
	cut    bool // the last answer ended within a line
}

// step reads once, at most limit lines (0: what is the default), and reports
// whether it was told that this was all.
func (r *reading) step(limit int) bool {
	r.w.t.Helper()
	q := url.Values{}
	if r.cursor != "" {
		q.Set("after", r.cursor)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	got := r.w.get("/v1/batches/" + r.id + "/results?" + q.Encode()).want(http.StatusOK)
	body, h := got.Body.String(), got.Header()
	if limit > 0 && strings.Count(body, "\n") > limit {
		r.w.t.Errorf("%d lines, want at most %d", strings.Count(body, "\n"), limit)
	}
	cut := body != "" && !strings.HasSuffix(body, "\n")
	if cut != (h.Get("X-Line-Cut") == "true") {
		r.w.t.Errorf("an answer that ends with %q says it is cut: %q", body[max(len(body)-9, 0):], h.Get("X-Line-Cut"))
	}
	if body == "" && r.cut {
		r.w.t.Error("the rest of a line does not come")
	}
	r.cursor, r.cut = h.Get("X-Next-Cursor"), cut
	r.text.WriteString(body)
	return h.Get("X-Complete") == "true"
}

// all reads to the end.
func (r *reading) all(limit int) string {
	r.w.t.Helper()
	for n := 0; !r.step(limit); n++ {
		if n > 10_000 {
			r.w.t.Fatal("the results have no end")
		}
	}
	return r.text.String()
}

// TestResultsFollowTheJournal adds segments of any shape to a batch's journal
// and reads along, in any steps: the answers together are all lines in the order
// of the entries, whatever an answer has room for.
func TestResultsFollowTheJournal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		room := rapid.IntRange(20, 2_000).Draw(rt, "room")
		w := newWorld(t, func(_ *api.Deps, c *api.Config) {
			c.MaxAnswer = room
			c.Room = func(content []byte) int { return len(content) + strings.Count(string(content), `"`) }
		})
		id, _ := w.order(w.alice)
		early, late := &reading{w: w, id: id}, &reading{w: w, id: id}
		var want strings.Builder
		line, closed := 0, false
		entry := func() {
			e := batch.Entry{Segment: fmt.Sprintf("s%d", line), Closed: closed}
			var segment []byte
			for range rapid.IntRange(0, 5).Draw(rt, "spans") {
				line++
				segment = append(segment, strings.Repeat("?", rapid.IntRange(0, 9).Draw(rt, "gap"))...)
				begin := len(segment)
				for range rapid.IntRange(1, 3).Draw(rt, "lines") {
					text := fmt.Sprintf(`{"%d":"%s"}`+"\n", line, strings.Repeat("é", rapid.IntRange(0, 60).Draw(rt, "size")))
					segment = append(segment, text...)
					want.WriteString(text)
					if !closed {
						break // a worker's span has one line
					}
				}
				e.Spans = append(e.Spans, batch.LineSpan{Line: line, Offset: int64(begin), Length: int64(len(segment) - begin)})
			}
			if closed {
				e.N = w.entries(id) + 1
			}
			if err := errors.Join(w.files.Put(rt.Context(), batch.SegmentKey(id, e.Segment), segment), w.enter(id, e)); err != nil {
				rt.Fatal(err)
			}
			line++ // no two segments have one name
		}
		read := func(rt *rapid.T) {
			if early.step(rapid.IntRange(0, 9).Draw(rt, "limit")) {
				rt.Fatal("complete before the end")
			}
		}
		rt.Repeat(map[string]func(*rapid.T){"entry": func(*rapid.T) { entry() }, "read": read})
		closed = true
		if err := w.enter(id, batch.Entry{Closed: true}); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(0, 2).Draw(rt, "rest") {
			entry()
			read(rt)
		}
		w.change(id, func(b *batch.Batch) { b.WriteOut.Journal = w.entries(id) })
		for name, r := range map[string]*reading{"early": early, "late": late} {
			if got := r.all(rapid.IntRange(0, 9).Draw(rt, "limit")); got != want.String() {
				rt.Fatalf("the %s reader got\n%s\nwant\n%s", name, got, want.String())
			}
			if !r.step(0) || r.text.String() != want.String() {
				rt.Fatal("the end does not stay the end")
			}
		}
	})
}

func (w *world) enter(id string, e batch.Entry) error {
	_, err := w.store.AppendJournal(w.t.Context(), id, e)
	return err
}

func (w *world) entries(id string) int {
	w.t.Helper()
	all, err := w.store.Journal(w.t.Context(), id, 0, 1_000_000)
	if err != nil {
		w.t.Error(err)
	}
	return len(all)
}

func TestResultsOfManySegments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	var want strings.Builder
	for n := 1; n <= 450; n++ { // more than are read for one answer
		text := fmt.Sprintf("{%d}\n", n)
		want.WriteString(text)
		e := batch.Entry{Segment: strconv.Itoa(n), Spans: []batch.LineSpan{{Line: n, Length: int64(len(text))}}}
		if err := errors.Join(w.files.Put(t.Context(), batch.SegmentKey(id, e.Segment), []byte(text)), w.enter(id, e)); err != nil {
			t.Fatal(err)
		}
	}
	w.change(id, func(b *batch.Batch) { // it was abandoned: its journal was never closed
		if err := b.Fail(batch.FailNow, batch.InternalError("trouble"), w.clock()); err != nil {
			t.Error(err)
		}
	})
	if got := (&reading{w: w, id: id}).all(0); got != want.String() {
		t.Errorf("got %d bytes, want %d", len(got), want.Len())
	}
}

func TestResultsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	other, _ := w.order(w.alice)
	path := "/v1/batches/" + id + "/results"
	r := w.get(path).want(200)
	cursor := r.Header().Get("X-Next-Cursor")
	if r.Header().Get("X-Complete") != "false" || r.Body.Len() != 0 || cursor == "" {
		t.Errorf("a new batch has %q, %v", r.Body, r.Header())
	}
	raw := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for _, bad := range []string{
		"x", id, cursor + "x", cursor + "=", raw(id), raw(id + ".1"), raw(id + ".0.0"), raw(id + ".-1.0"), raw(id + ".1.-1"),
		raw(id + ".01.0"), raw(id + ".1.0.0"), raw(id + ".2147483647.0"), raw(id + ".1.99999999999999999999"),
		raw(id + ".1. 0"), strings.Repeat("A", 100_000), w.get("/v1/batches/" + other + "/results").Header().Get("X-Next-Cursor"),
	} {
		w.get(path+"?after="+url.QueryEscape(bad)).refused(400, "after", "invalid_value", "is not a cursor")
	}
	w.get(path + "?limit=10000&after=" + cursor).want(200)
	w.get(path+"?limit=10001").refused(400, "limit", "integer_above_max_value", "10000")
	w.get(path+"?limit=0").refused(400, "limit", "integer_below_min_value", "1")
	w.get(path+"?limit=x").refused(400, "limit", "invalid_type", "limit")
	w.ask(ask{method: http.MethodGet, path: path, key: w.bob}).refused(404, "", "", "No batch found")
	w.get("/v1/batches/batch_1/results").refused(404, "", "", "No batch found")
	w.ask(ask{method: http.MethodGet, path: path}).want(401)

	if err := w.enter(id, batch.Entry{Segment: "gone", Spans: []batch.LineSpan{{Line: 1, Length: 5}}}); err != nil {
		t.Fatal(err)
	}
	w.get(path).refused(410, "", "results_expired", "output_file_id")
}

func TestResultsOfARefusedBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	w.change(id, func(b *batch.Batch) {
		if err := b.Fail(batch.FailInput, []batch.LineError{{Code: "empty_file"}}, w.clock()); err != nil {
			t.Error(err)
		}
	})
	if got := (&reading{w: w, id: id}).all(0); got != "" {
		t.Errorf("got %q", got)
	}
}

// A running is a batch in a world with workers and a finalizer of its own.
type running struct {
	*world
	ref    batch.Ref
	queue  *memstore.Queue
	worker *execute.Worker
	final  *finalize.Finalizer

	mu  sync.Mutex
	ids int
}

// lossy is a store that loses some entries of the journal, or their answers, as
// crashes do.
type lossy struct {
	*memstore.Store
	mu sync.Mutex
	n  int
}

func (l *lossy) AppendJournal(ctx context.Context, id string, e batch.Entry) (int, error) {
	l.mu.Lock()
	l.n++
	n := l.n
	l.mu.Unlock()
	if n%5 == 2 {
		return 0, errStore
	}
	got, err := l.Store.AppendJournal(ctx, id, e)
	if n%5 == 4 {
		return 0, errStore
	}
	return got, err
}

// slow answers line n after n%13 seconds, badly if n%4 is 3; n%10 == 9
// hangs.
type slow struct{}

func (slow) Call(ctx context.Context, c execute.Call) (execute.Reply, error) {
	n, _ := strconv.Atoi(strings.TrimPrefix(c.CustomID, "c"))
	wait := time.Duration(n%13) * time.Second
	if n%10 == 9 {
		wait = 40 * time.Second
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return execute.Reply{}, ctx.Err()
	}
	reply := execute.Reply{StatusCode: 200, Body: fmt.Appendf(nil, `{"n":%d}`, n), Tokens: state.Tokens{Input: 1, Total: 1}}
	if n%4 == 3 {
		reply.StatusCode = 400
	}
	return reply, nil
}

type uncounted struct{}

func (uncounted) Count(string, int, ...string)       {}
func (uncounted) Observe(string, float64, ...string) {}

// newRunning loads a batch of lines that ends within window.
func newRunning(t *testing.T, lines int, window time.Duration) *running {
	t.Helper()
	r := &running{queue: memstore.NewQueue(time.Now, time.Minute)}
	r.world = newWorld(t, func(d *api.Deps, c *api.Config) { d.Clock, c.MaxAnswer = time.Now, 3_000 })
	id, err := batch.NewID(batch.PrefixBatch, time.Now(), rand.Reader)
	must(t, err)
	r.ref = batch.Ref{Tenant: "alice", ID: id}
	b := batch.Batch{
		Ref: r.ref, Endpoint: "/v1/chat/completions", InputFileID: "file-in", Policy: retry.Default(),
		Status: batch.StatusValidating, CreatedAt: time.Now(), Deadline: time.Now().Add(window),
	}
	must(t, r.store.CreateFile(t.Context(), batch.File{Tenant: "alice", ID: "file-in", PinnedBy: []string{id}}))
	must(t, b.Validated(lines))
	var input []byte
	var cs []state.Change
	for n := 1; n <= lines; n++ {
		text := fmt.Appendf(nil, `{"custom_id":"c%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}`+"\n", n)
		c, err := state.New(state.Spec{
			Key: b.Key(n), CustomID: fmt.Sprintf("c%d", n), Deadline: b.Deadline,
			Body: state.Span{Offset: int64(len(input)), Length: int64(len(text) - 1)},
		}).Change()
		must(t, err)
		cs, input = append(cs, c), append(input, text...)
	}
	must(t, b.Loaded(lines, int64(len(input)), time.Now()))
	must(t, r.files.Put(t.Context(), batch.FileKey("alice", "file-in"), input))
	must(t, r.store.Create(t.Context(), cs))
	must(t, r.store.CreateBatch(t.Context(), b))
	log := slog.New(slog.DiscardHandler)
	newID := func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ids++
		return fmt.Sprintf("id%d", r.ids)
	}
	r.worker = execute.New(execute.Deps{
		Requests: r.store, Workers: r.store, Limits: r.store, Batches: &lossy{Store: r.store}, Files: r.files, Queue: r.queue, Flow: r.flow,
		Caller: slow{}, Metrics: uncounted{}, Log: log, Clock: time.Now, Uniform: func() float64 { return 0.5 }, NewID: newID,
		Models: route.NewTable(route.DefaultModel("https://api.example.com/v1", false)).Now,
	}, execute.Config{})
	r.final = finalize.New(finalize.Deps{
		Requests: r.store, Journal: r.store, Batches: r.store, Objects: r.files, Uploads: r.files, Queue: r.queue, Flow: r.flow,
		Clock: time.Now, Log: log,
		NewFileID: func(now time.Time) (string, error) { return batch.NewID(batch.PrefixFile, now, rand.Reader) },
	}, finalize.Config{})
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// work plays Lambda and Step Functions until the batch has ended.
func (r *running) work() {
	var flying sync.WaitGroup
	defer flying.Wait()
	for tick := 0; ; tick++ {
		got, err := r.queue.Receive(r.t.Context(), 7)
		must(r.t, err)
		if len(got) > 0 {
			flying.Go(func() { r.invoke(got) })
			continue
		}
		if tick%10 == 0 {
			next, err := r.final.Advance(r.t.Context(), r.ref)
			must(r.t, err)
			if next == finalize.NextEnd {
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (r *running) invoke(got []memstore.Received) {
	deliveries := make([]batch.Delivery, len(got))
	for i, g := range got {
		body, err := g.Message.Encode()
		if err != nil {
			r.t.Error(err)
		}
		deliveries[i] = batch.Delivery{MessageID: g.Handle, Handle: g.Handle, Receives: g.Receives, Body: body}
	}
	stay := r.worker.Run(r.t.Context(), deliveries)
	for _, d := range deliveries {
		if !slices.Contains(stay, d.MessageID) {
			if err := r.queue.Delete(r.t.Context(), []string{d.Handle}); err != nil {
				r.t.Error(err)
			}
		}
	}
}

// content returns a result file, empty if there is none.
func (r *running) content(id string) string {
	r.t.Helper()
	if id == "" {
		return ""
	}
	f, err := r.store.File(r.t.Context(), "alice", id)
	must(r.t, err)
	body, err := r.files.Read(r.t.Context(), f.ObjectKey(), 0, f.Bytes)
	must(r.t, err)
	return string(body)
}

// TestResultsOfARunningBatch reads the results of a batch while real workers
// and a real finalizer bring it to its end, and entries of its journal get lost.
// What was read is what the files have: each line once, late ones too.
func TestResultsOfARunningBatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		window time.Duration
		cancel time.Duration // after which it is cancelled; 0: never
		want   batch.Status
	}{
		"completed": {window: time.Hour, want: batch.StatusCompleted},
		"cancelled": {window: time.Hour, cancel: 6 * time.Second, want: batch.StatusCanceled},
		"expired":   {window: 7 * time.Second, want: batch.StatusExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { readAlong(t, newRunning(t, 100, tt.window), tt.cancel, tt.want) })
		})
	}
}

func readAlong(t *testing.T, r *running, cancel time.Duration, want batch.Status) {
	t.Helper()
	var over sync.WaitGroup
	over.Go(r.work)
	if cancel > 0 {
		over.Go(func() {
			time.Sleep(cancel)
			r.change(r.ref.ID, func(b *batch.Batch) {
				if err := b.Cancel(time.Now()); err != nil {
					t.Error(err)
				}
			})
		})
	}
	seen, early := &reading{w: r.world, id: r.ref.ID}, 0
	for !seen.step(9) {
		time.Sleep(300 * time.Millisecond)
		b, err := r.store.Batch(t.Context(), r.ref)
		must(t, err)
		if !b.Sealed {
			early = strings.Count(seen.text.String(), "\n")
		}
	}
	over.Wait()
	b, err := r.store.Batch(t.Context(), r.ref)
	must(t, err)
	if b.Status != want || early < 10 {
		t.Errorf("batch is %s with %+v, %d lines came before its end", b.Status, b.Counts, early)
	}
	if b.Tokens.Total != int64(b.Counts.Completed+b.Counts.Failed) || b.Counts.Completed == 0 {
		t.Errorf("tokens are %+v with %+v", b.Tokens, b.Counts)
	}
	lines := func(text string) []string { return slices.Sorted(strings.Lines(text)) }
	files := lines(r.content(b.OutputFileID) + r.content(b.ErrorFileID))
	if got := lines(seen.text.String()); !slices.Equal(got, files) || len(got) != b.Counts.Total {
		t.Errorf("read %d lines, and the files have %d of %d", len(got), len(files), b.Counts.Total)
	}
	if late := (&reading{w: r.world, id: r.ref.ID}).all(0); late != seen.text.String() {
		t.Error("who reads after the end gets other lines, or another order")
	}
}
