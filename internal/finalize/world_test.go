package finalize_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/multipart"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/storetest"
	"github.com/musketry/musketry/internal/tenant"
)

// A world is a batch that is loaded, and all that a finalizer and its workers
// share. Use it in a synctest bubble: its clock is time.Now.
type world struct {
	t     *testing.T
	store *memstore.Store
	files *memstore.Files
	queue *memstore.Queue
	flow  *memstore.Flow
	ref   batch.Ref
	size  int // bytes of an answer's text

	mu      sync.Mutex
	ids     int
	counted map[string]batch.Counts // by worker
}

// newWorld loads a batch of lines whose answers have size bytes of text. The
// requests of missing are not there.
func newWorld(t *testing.T, lines, size int, missing ...int) *world {
	t.Helper()
	w := &world{
		t: t, store: memstore.NewStore(), files: memstore.NewFiles(),
		queue: memstore.NewQueue(time.Now, time.Minute), flow: memstore.NewFlow(),
		ref: batch.Ref{Tenant: "acme", ID: "batch_1"}, size: size, counted: map[string]batch.Counts{},
	}
	ctx, now := t.Context(), time.Now()
	b := batch.Batch{
		Ref: w.ref, InputFileID: "file-in", Status: batch.StatusValidating, CreatedAt: now, Deadline: now.Add(24 * time.Hour),
	}
	w.must(w.store.CreateFile(ctx, batch.File{Tenant: "acme", ID: "file-in", PinnedBy: []string{"batch_0", "batch_1"}}))
	w.must(w.store.CreateBatch(ctx, b))
	w.must(w.store.CreateRunning(ctx, batch.RunningOf(b)))
	_, err := w.store.UpdateQuota(ctx, "acme", func(u *tenant.Quota) error {
		u.Batches = map[string]int{"batch_0": 7, "batch_1": lines}
		u.CountedAt = now
		return nil
	})
	w.must(err)
	w.must(b.Validated(lines))
	var cs []state.Change
	input := bytes.Repeat([]byte(" "), 99) // a blank line
	for line := 1; line <= lines; line++ {
		id := fmt.Sprintf("id-%d", line)
		c, err := state.New(b.Spec(line, batch.Input{CustomID: id}, state.Span{Offset: int64(100 * line), Length: 99})).Change()
		w.must(err)
		if !slices.Contains(missing, line) {
			cs = append(cs, c)
		}
		input = fmt.Appendf(input, "\n%-99s", fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":"/","body":{}}`, id))
	}
	w.must(w.files.Put(ctx, batch.FileKey("acme", "file-in"), append(input, '\n')))
	w.must(w.store.Create(ctx, cs))
	w.update(func(b *batch.Batch) error {
		if err := b.Validated(lines); err != nil {
			return err
		}
		return b.Loaded(lines, int64(len(input))+1, now)
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(change func(*batch.Batch) error) {
	w.t.Helper()
	_, err := w.store.UpdateBatch(w.t.Context(), w.ref, change)
	w.must(err)
}

func (w *world) cancel() {
	w.t.Helper()
	w.update(func(b *batch.Batch) error { return b.Cancel(time.Now()) })
}

func (w *world) batch() batch.Batch {
	w.t.Helper()
	b, err := w.store.Batch(w.t.Context(), w.ref)
	w.must(err)
	return b
}

// finalizer returns a finalizer whose every call goes by faults; nil for none.
func (w *world) finalizer(f *faults) *finalize.Finalizer {
	if f == nil {
		f = &faults{}
	}
	store := storetest.FaultyStore{Store: w.store, Do: f.op}
	return finalize.New(finalize.Deps{
		Requests: store, Journal: store, Batches: store, Objects: faultyObjects{w.files, f},
		Uploads: faultyUploads{w.files, f}, Queue: faultyQueue{w.queue, f}, Flow: storetest.FaultyFlow{Flow: w.flow, Do: f.op},
		Clock: clock(), NewFileID: w.fileID, Log: slog.New(slog.DiscardHandler),
	}, finalize.Config{Part: 5 << 20})
}

// clock returns a clock that ends a test whose finalizer goes round in one instant: no time
// passes by itself, and none would ever be over.
func clock() func() time.Time {
	const most = 50_000
	var mu sync.Mutex
	var last time.Time
	asked := 0
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now != last {
			last, asked = now, 0
		}
		if asked++; asked > most {
			panic("the finalizer goes round and round")
		}
		return now
	}
}

func (w *world) fileID(now time.Time) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return batch.NewID(batch.PrefixFile, now, strings.NewReader(fmt.Sprintf("%010d", w.ids)))
}

// kind is what becomes of a line: it depends on the line alone.
func kind(line int) string {
	switch line % 7 {
	case 3:
		return "refused"
	case 5:
		return "unreachable"
	}
	return "answered"
}

// answerLine is the result line of an answer, as a worker would write it.
func (w *world) answerLine(k state.Key, status int) []byte {
	return fmt.Appendf(nil, `{"custom_id":"id-%d","status_code":%d,"text":"%s"}`+"\n", k.Line, status, strings.Repeat("x", w.size))
}

// wantLine is the line that the results have of a line that was called.
func (w *world) wantLine(k state.Key) []byte {
	switch kind(k.Line) {
	case "refused":
		return w.answerLine(k, 400)
	case "unreachable":
		return batch.AppendFailure(nil, k, fmt.Sprintf("id-%d", k.Line), batch.Failing{Reason: state.NetworkError{Error: "reset"}})
	}
	return w.answerLine(k, 200)
}

// call does what a worker does with lines: it claims them, writes a segment of
// their answers and then their outcomes. It returns the lines whose outcome it
// recorded; others were faster with the rest.
func (w *world) call(worker string, lines ...int) []int {
	w.t.Helper()
	ctx, b, now := w.t.Context(), w.batch(), time.Now()
	var done []int
	var segment []byte
	var changes []state.Change
	id, err := w.fileID(now) // any id that is not used twice
	w.must(err)
	for _, line := range lines {
		rec, err := w.store.Request(ctx, b.Key(line))
		w.must(err)
		pending, err := state.As[state.Pending](rec)
		if err != nil {
			continue
		}
		lease := state.Lease{ClaimID: batch.ClaimID(worker, fmt.Sprint(line)), Worker: worker, Expires: now.Add(time.Hour)}
		claimed, err := state.Claim(pending, lease, now)
		w.must(err)
		started, err := state.Start(claimed, now)
		w.must(err)
		change, err := started.Change()
		w.must(err)
		w.must(w.store.Apply(ctx, change))
		result := w.wantLine(b.Key(line))
		span := state.Span{Object: id, Offset: int64(len(segment)), Length: int64(len(result))}
		switch started = started.Stored(); kind(line) {
		case "answered":
			change, err = state.Complete(started, state.Result{
				StatusCode: 200, Answer: span, Tokens: state.Tokens{Input: 10, Output: int64(line), Total: int64(10 + line)},
			}, now).Change()
			segment = append(segment, result...)
		case "refused":
			change, err = state.Fail(started,
				state.Failure{Reason: state.NonRetryableHTTPStatus{Status: 400}, Answer: span}, now).Change()
			segment = append(segment, result...)
		default:
			failed := state.Fail(started, state.Failure{Reason: state.NetworkError{Error: "reset"}}, now)
			failed, err = state.Deny(failed, state.Refusal{Why: state.DenialMaxRetries})
			w.must(err)
			change, err = failed.Change()
		}
		w.must(err)
		changes = append(changes, change)
	}
	if len(changes) > 0 {
		w.must(w.files.Put(ctx, batch.SegmentKey(w.ref.ID, id), segment))
	}
	entry := batch.Entry{Segment: id}
	for _, change := range changes {
		var conflict *state.ConflictError
		switch err := w.store.Apply(ctx, change); {
		case err == nil:
			done = append(done, change.Spec().Key.Line)
			if at := spanOf(change.To()); at.Length > 0 {
				entry.Spans = append(entry.Spans, batch.LineSpan{Line: done[len(done)-1], Offset: at.Offset, Length: at.Length})
			}
		case !errors.As(err, &conflict):
			w.t.Fatal(err)
		}
	}

	if len(entry.Spans) > 0 && entry.Spans[0].Line%4 != 0 { // it dies before its entry now and then
		_, err := w.store.AppendJournal(ctx, w.ref.ID, entry)
		w.must(err)
	}
	return done
}

func spanOf(p state.Phase) state.Span {
	switch p := p.(type) {
	case state.Completed:
		return p.Answer
	case state.Failed:
		return p.Answer
	case state.Pending, state.Claimed, state.Processing, state.Canceled:
	}
	return state.Span{}
}

// count adds the outcomes of lines to a worker's counter shard.
func (w *world) count(worker string, lines ...int) {
	w.t.Helper()
	c := w.counted[worker]
	for _, line := range lines {
		if kind(line) == "answered" {
			c.Completed++
		} else {
			c.Failed++
		}
	}
	w.counted[worker] = c
	w.must(w.store.PutCounter(w.t.Context(), w.ref.ID, batch.CounterShard{ID: worker, Counts: c}))
}

// work does what a worker does with all the messages in the queue.
func (w *world) work() {
	w.t.Helper()
	const worker = "w1"
	for {
		got, err := w.queue.Receive(w.t.Context(), 10)
		w.must(err)
		if len(got) == 0 {
			return
		}
		var lines []int
		var handles []string
		for _, m := range got {
			lines = append(lines, m.Message.Line)
			handles = append(handles, m.Handle)
		}
		slices.Sort(lines)
		if done := w.call(worker, slices.Compact(lines)...); len(done) > 0 {
			w.count(worker, done...)
		}
		w.must(w.queue.Delete(w.t.Context(), handles))
	}
}

// advance advances the batch until it is to be parked or ends.
func (w *world) advance() finalize.Next {
	w.t.Helper()
	next, err := w.finalizer(nil).Advance(w.t.Context(), w.ref)
	w.must(err)
	return next
}

// results returns the output and the error file, nil where there is none.
func (w *world) results() (output, errs []byte) {
	w.t.Helper()
	b := w.batch()
	read := func(id, name string) []byte {
		if id == "" {
			return nil
		}
		f, err := w.store.File(w.t.Context(), "acme", id)
		w.must(err)
		r, err := w.files.Open(w.t.Context(), f.ObjectKey(), 0)
		w.must(err)
		body, err := io.ReadAll(r)
		w.must(err)
		if f.Name != name || f.Purpose != batch.PurposeBatchOutput || f.Bytes != int64(len(body)) ||
			f.ExpiresAt.Sub(f.CreatedAt) != 30*24*time.Hour || f.SHA256 != fmt.Sprintf("%x", sha256.Sum256(body)) {
			w.t.Errorf("file is %+v, with %d bytes", f, len(body))
		}
		if made, ok := batch.ParseID(batch.PrefixFile, id); !ok || !f.CreatedAt.Equal(made) || !made.Equal(b.FinalizingAt) {
			w.t.Errorf("%s of %v was created at %v; the batch was sealed at %v", id, made, f.CreatedAt, b.FinalizingAt)
		}
		return body
	}
	return read(b.OutputFileID, "batch_1_output.jsonl"), read(b.ErrorFileID, "batch_1_error.jsonl")
}

// want returns what the results hold if every line was called.
func (w *world) want() (output, errs []byte) {
	b := w.batch()
	for line := 1; line <= b.Counts.Total; line++ {
		if kind(line) == "answered" {
			output = append(output, w.wantLine(b.Key(line))...)
		} else {
			errs = append(errs, w.wantLine(b.Key(line))...)
		}
	}
	return output, errs
}

// check holds the results and the files of an ended batch against what it is
// to have.
func (w *world) check(status batch.Status, wantOutput, wantErrs []byte) {
	w.t.Helper()
	b := w.batch()
	output, errs := w.results()
	if b.Status != status || b.Counts.Done() != b.Counts.Total {
		w.t.Errorf("batch is %s with %+v, want %s", b.Status, b.Counts, status)
	}
	if !bytes.Equal(output, wantOutput) || !bytes.Equal(errs, wantErrs) {
		w.t.Errorf("the results have %d and %d bytes, want %d and %d", len(output), len(errs), len(wantOutput), len(wantErrs))
	}
	if len(wantOutput)+len(wantErrs) > 0 || b.Counts.Total == 0 { // otherwise its segments are gone
		w.checkJournal(b, append(bytes.Clone(output), errs...))
	}
	if tokens := w.tokens(b); b.Tokens != tokens || (b.Tokens == state.Tokens{}) != (b.Counts.Completed == 0) {
		w.t.Errorf("tokens are %+v, want %+v", b.Tokens, tokens)
	}
	w.checkHistory(b)
	f, err := w.store.File(w.t.Context(), "acme", "file-in")
	w.must(err)
	if !slices.Equal(f.PinnedBy, []string{"batch_0"}) {
		w.t.Errorf("the input file is pinned by %v", f.PinnedBy)
	}
	u, err := w.store.UpdateQuota(w.t.Context(), "acme", func(*tenant.Quota) error { return nil })
	w.must(err)
	if !maps.Equal(u.Batches, map[string]int{"batch_0": 7}) {
		w.t.Errorf("of the tenant's are unfinished %v", u.Batches)
	}
	a, err := w.store.UpdateAllowance(w.t.Context(), func(*batch.Allowance) error { return nil })
	w.must(err)
	if g, granted := a.Grants[b.ID]; granted {
		w.t.Errorf("it has its messages still: %+v", g)
	}
	if r, err := w.store.Running(w.t.Context(), b.ID); !errors.Is(err, batch.ErrNotFound) {
		w.t.Errorf("it runs still: %v, %v", r, err)
	}
	if got, want := u.Stored(), int64(len(wantOutput)+len(wantErrs)); got != want {
		w.t.Errorf("the results count %d bytes, want %d", got, want)
	}
}

// checkHistory demands that a sealed batch's history ends with its counts, never goes
// back, and tells why its requests failed.
func (w *world) checkHistory(b batch.Batch) {
	w.t.Helper()
	h, err := w.store.History(w.t.Context(), b.Ref)
	w.must(err)
	if !b.Sealed || b.Counts.Total == 0 {
		return
	}
	for i := 1; i < len(h.Samples); i++ {
		if was, is := h.Samples[i-1], h.Samples[i]; !is.At.After(was.At) || is.Counts.Most(was.Counts) != is.Counts {
			w.t.Errorf("%+v follows %+v", is, was)
		}
	}
	if n := len(h.Samples); n == 0 || n > batch.MaxSamples || h.Samples[n-1].Counts.Within(b.Counts.Total) != b.Counts {
		w.t.Errorf("the history has %d samples of a batch with %+v: %+v", n, b.Counts, h.Samples)
	}
	want, got := map[string]int{}, map[string]int{}
	for rec, err := range w.store.Requests(w.t.Context(), b.ID, b.Shards, 0) {
		w.must(err)
		if reason := batch.ReasonOf(rec.Phase); reason != "" {
			want[reason]++
		}
	}
	for _, f := range h.Failures {
		got[f.Reason] = f.Requests
	}
	if !h.Settled || !maps.Equal(got, want) {
		w.t.Errorf("the history says %v, want %v; it is settled: %t", got, want, h.Settled)
	}
}

// checkJournal demands that an ended batch's journal names each line of its
// results exactly once, and ends where the batch says.
func (w *world) checkJournal(b batch.Batch, results []byte) {
	w.t.Helper()
	entries, err := w.store.Journal(w.t.Context(), b.ID, 0, 1_000_000)
	w.must(err)
	var lines []byte
	for _, e := range entries {
		for _, p := range e.Spans {
			body, err := w.files.Read(w.t.Context(), batch.SegmentKey(b.ID, e.Segment), p.Offset, p.Length)
			w.must(err)
			lines = append(lines, body...)
		}
	}
	if len(entries) != b.WriteOut.Journal || !entries[len(entries)-1].Closed {
		w.t.Errorf("the journal has %d entries, and the batch says %d", len(entries), b.WriteOut.Journal)
	}
	if got, want := sortedLines(lines), sortedLines(results); !slices.Equal(got, want) {
		w.t.Errorf("the journal has %d lines, and the results %d", len(got), len(want))
	}
}

func sortedLines(text []byte) []string { return slices.Sorted(strings.Lines(string(text))) }

// tokens sums up what the stored requests say.
func (w *world) tokens(b batch.Batch) state.Tokens {
	w.t.Helper()
	var sum state.Tokens
	for rec, err := range w.store.Requests(w.t.Context(), b.ID, b.Shards, 0) {
		w.must(err)
		if done, ok := rec.Phase.(state.Completed); ok {
			sum = sum.Plus(done.Tokens)
		}
	}
	return sum
}

var errCrash = errors.New("crash")

// A faults fails one call of all that go by it, before or after it took effect.
type faults struct {
	at    int // the call that fails, counted from 1; 0 for none
	after bool

	mu       sync.Mutex
	calls    int
	sent     int  // messages
	counters int  // that were written
	samples  int  // writes of a history
	lost     bool // one of them failed, which fails no turn
}

func (f *faults) do(call func() error) error {
	f.mu.Lock()
	f.calls++
	fail := f.calls == f.at
	f.mu.Unlock()
	if fail && !f.after {
		return errCrash
	}
	err := call()
	if fail {
		return errCrash
	}
	return err
}

// op is do of an operation of the store or the flow.
func (f *faults) op(op string, call func() error) error {
	switch op {
	case "PutCounter":
		f.note(&f.counters, 1)
	case "UpdateHistory":
		f.note(&f.samples, 1)
		err := f.do(call)
		f.lost = f.lost || err != nil
		return err
	}
	return f.do(call)
}

// note adds to what f counts.
func (f *faults) note(n *int, more int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*n += more
}

func get[T any](f *faults, call func() (T, error)) (T, error) {
	var got, none T
	err := f.do(func() (err error) { got, err = call(); return err })
	if err != nil {
		return none, err
	}
	return got, nil
}

type faultyObjects struct {
	finalize.Objects
	f *faults
}

func (o faultyObjects) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return get(o.f, func() ([]byte, error) { return o.Objects.Read(ctx, key, offset, length) })
}

func (o faultyObjects) Put(ctx context.Context, key string, body []byte) error {
	return o.f.do(func() error { return o.Objects.Put(ctx, key, body) })
}

func (o faultyObjects) PutNew(ctx context.Context, key string, body []byte) error {
	return o.f.do(func() error { return o.Objects.PutNew(ctx, key, body) })
}

type faultyUploads struct {
	multipart.Uploads
	f *faults
}

func (u faultyUploads) StartParts(ctx context.Context, key string) (string, error) {
	return get(u.f, func() (string, error) { return u.Uploads.StartParts(ctx, key) })
}

func (u faultyUploads) PutPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	return get(u.f, func() (string, error) { return u.Uploads.PutPart(ctx, key, id, n, body) })
}

func (u faultyUploads) FinishParts(ctx context.Context, key, id string, tags []string) error {
	return u.f.do(func() error { return u.Uploads.FinishParts(ctx, key, id, tags) })
}

// A tinyParts takes parts of any size, so that a test of many parts is quick.
// Otherwise it is as strict as S3: the tags must be those of the parts, and an
// upload that is finished takes no more.
type tinyParts struct {
	*memstore.Files
	mu    sync.Mutex
	parts map[string]map[int][]byte // by upload
}

func (u *tinyParts) PutPart(_ context.Context, _, id string, n int, body []byte) (string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.parts[id] == nil {
		u.parts[id] = map[int][]byte{}
	}
	if u.parts[id][0] != nil {
		return "", batch.ErrNoObject
	}
	u.parts[id][n] = bytes.Clone(body)
	return string(body), nil
}

func (u *tinyParts) FinishParts(ctx context.Context, key, id string, tags []string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.parts[id][0] != nil {
		return nil
	}
	var whole []byte
	for i, tag := range tags {
		if string(u.parts[id][i+1]) != tag {
			return fmt.Errorf("part %d is not the one that was put", i+1)
		}
		whole = append(whole, tag...)
	}
	u.parts[id][0] = []byte("finished")
	return u.PutNew(ctx, key, whole)
}

type faultyQueue struct {
	finalize.Queue
	f *faults
}

func (q faultyQueue) Send(ctx context.Context, ms []batch.Message) error {
	q.f.note(&q.f.sent, len(ms))
	return q.f.do(func() error { return q.Queue.Send(ctx, ms) })
}
