package execute_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

const (
	testTenant = "acme"
	testBatch  = "batch_test"
	testFile   = "file-test"
	testToken  = "token"
)

// A world is everything around workers: stores, a queue, an upstream, and the
// part of Lambda that receives messages and deletes those acknowledged.
type world struct {
	*testing.T

	store  *memstore.Store
	files  *memstore.Files
	queue  *memstore.Queue
	flow   *memstore.Flow
	up     *upstream
	models func(context.Context) (route.Table, error)
	stats  *counters
	logs   *logs

	numbers []int // of the lines' models

	events  func() int     // sizes of events; nil: ten
	uniform func() float64 // what a process draws

	mu    sync.Mutex
	ids   int
	out   map[string]batch.Delivery // by handle
	wrong []string                  // broken promises
}

// anywhere returns a deployment's default route.
func anywhere() route.Table {
	return route.NewTable(route.DefaultModel("https://api.example.com/v1", false))
}

// newWorld returns a world with one batch in progress, a line for every body,
// all of them loaded and none enqueued.
func newWorld(t *testing.T, lines []string, change ...func(*batch.Batch)) *world {
	t.Helper()
	w := &world{
		T: t, store: memstore.NewStore(), files: memstore.NewFiles(), flow: memstore.NewFlow(),
		queue: memstore.NewQueue(time.Now, 16*time.Minute), stats: &counters{}, logs: &logs{},
		out: map[string]batch.Delivery{}, models: anywhere().Now, uniform: func() float64 { return 0.5 },
	}
	w.up = &upstream{world: w, calls: map[int]int{}, routes: map[int][]route.Route{}, flying: map[int]int{}}
	b := batch.Batch{
		Ref: batch.Ref{Tenant: testTenant, ID: testBatch}, Endpoint: "/v1/chat/completions", InputFileID: testFile,
		Policy: retry.Default(), Status: batch.StatusInProgress, Shards: 1, Enqueued: len(lines), Mark: len(lines),
		Counts: batch.Counts{Total: len(lines)}, Token: testToken,
		CreatedAt: time.Now().UTC(), InProgressAt: time.Now().UTC(), Deadline: time.Now().Add(24 * time.Hour).UTC(),
	}
	var models batch.ModelSet
	for _, line := range lines {
		in, _ := batch.DecodeInput([]byte(line))
		models.Add(in.Model)
	}
	b.NameModels(models)
	b.Policy.Jitter = false
	b.Load = batch.LoadCursor{Validated: true, Line: len(lines), Offset: int64(len(strings.Join(lines, "\n")) + 1)}
	for _, f := range change {
		f(&b)
	}
	must(t, w.store.CreateBatch(t.Context(), b))
	must(t, w.files.Put(t.Context(), batch.FileKey(testTenant, testFile), []byte(strings.Join(lines, "\n")+"\n")))
	var made []state.Change
	for i := range lines {
		spec := w.spec(lines, b, i+1)
		c, err := state.New(spec).Change()
		must(t, err)
		w.numbers = append(w.numbers, spec.Model)
		made = append(made, c)
	}
	must(t, w.store.Create(t.Context(), made))
	return w
}

func (w *world) spec(lines []string, b batch.Batch, line int) state.Spec {
	offset := 0
	for _, l := range lines[:line-1] {
		offset += len(l) + 1
	}
	in, _ := batch.DecodeInput([]byte(lines[line-1]))
	return b.Spec(line, batch.Input{CustomID: fmt.Sprintf("c%d", line), Model: in.Model}, state.Span{Offset: int64(offset), Length: int64(len(lines[line-1]))})
}

// input returns n well-formed lines.
func input(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(
			`{"custom_id":"c%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[%d]}}`, i+1, i+1)
	}
	return lines
}

// send enqueues lines.
func (w *world) send(lines ...int) {
	w.Helper()
	for _, line := range lines {
		rec := w.record(line)
		must(w.T, w.queue.Send(w.Context(), []batch.Message{batch.MessageOf(testTenant, rec.Spec)}))
	}
}

func (w *world) sendAll(n int) {
	w.Helper()
	for line := 1; line <= n; line++ {
		w.send(line)
	}
}

func (w *world) record(line int) state.Record {
	w.Helper()
	return w.stored(w.Context(), line)
}

func (w *world) stored(ctx context.Context, line int) state.Record {
	w.Helper()
	rec, err := w.store.Request(ctx, state.Key{Batch: testBatch, Line: line})
	must(w.T, err)
	return rec
}

func (w *world) newID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return fmt.Sprintf("id%d", w.ids)
}

func (w *world) broken(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// process returns a worker process that reaches the world through m.
func (w *world) process(m *machine, cfg execute.Config) *execute.Worker {
	cfg.Models = []string{"m"}
	return execute.New(execute.Deps{
		Requests: m, Workers: m, Limits: m, Batches: m, Files: m, Queue: m, Flow: m, Caller: m,
		Metrics: w.stats, Log: slog.New(w.logs),
		Clock: m.now, Uniform: w.uniform, NewID: w.newID, Models: w.models,
	}, cfg)
}

// deliver receives up to n messages.
func (w *world) deliver(n int) []batch.Delivery {
	got, err := w.queue.Receive(w.Context(), n)
	must(w.T, err)
	out := make([]batch.Delivery, len(got))
	for i, g := range got {
		body, err := g.Message.Encode()
		must(w.T, err)
		out[i] = batch.Delivery{MessageID: g.Handle, Handle: g.Handle, Receives: g.Receives, Body: body}
		w.hand(out[i])
	}
	return out
}

// hand keeps what is handed out.
func (w *world) hand(d batch.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out[d.Handle] = d
}

// delivered returns what was received under handle.
func (w *world) delivered(handle string) batch.Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out[handle]
}

// invoke runs deliveries as one invocation of m's process and deletes what it
// acknowledges, unless m died.
func (w *world) invoke(m *machine, p *execute.Worker, deliveries []batch.Delivery) (failed []string) {
	ctx, cancel := context.WithTimeout(w.Context(), 15*time.Minute)
	defer cancel()
	failed = p.Run(ctx, deliveries)
	if m.dead() {
		return failed
	}
	stay := map[string]bool{}
	for _, id := range failed {
		stay[id] = true
	}
	for _, d := range deliveries {
		if !stay[d.MessageID] {
			w.checkAck(d)
			must(w.T, w.queue.Delete(w.Context(), []string{d.Handle}))
		}
	}
	return failed
}

// checkAck holds the first promise against an acknowledged message.
func (w *world) checkAck(d batch.Delivery) {
	m, err := batch.DecodeMessage(d.Body)
	must(w.T, err)
	b, err := w.store.Batch(w.Context(), m.Ref())
	if errors.Is(err, batch.ErrNotFound) || b.Status.Terminal() {
		return
	}
	rec, err := w.store.Request(w.Context(), m.Key())
	if err != nil || !rec.Phase.Status().Terminal() {
		w.broken("line %d was acknowledged while it was %v", m.Line, rec.Phase)
	}
}

// drive plays Lambda until the queue is empty or limit has passed: it invokes a
// fresh machine, made by next, for every ten visible messages.
func (w *world) drive(limit time.Duration, next func() *machine) {
	w.Helper()
	var flying sync.WaitGroup
	defer flying.Wait()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		size := 10
		if w.events != nil {
			size = w.events()
		}
		got := w.deliver(size)
		if len(got) > 0 {
			m := next()
			p := w.process(m, execute.Config{})
			flying.Go(func() { w.invoke(m, p, got) })
			continue
		}
		if w.queue.Len() == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.Errorf("after %v there are still %d messages", limit, w.queue.Len())
}

// one returns the same healthy machine again and again.
func (w *world) one() func() *machine {
	m := &machine{world: w}
	return func() *machine { return m }
}

// done checks that every line has the phase that want names, and that every
// promise was kept.
func (w *world) done(want ...state.Status) {
	w.Helper()
	for i, status := range want {
		rec := w.record(i + 1)
		if rec.Spec.Model != w.numbers[i] {
			w.Errorf("line %d has the model %d, not %d: a write must keep it", i+1, rec.Spec.Model, w.numbers[i])
		}
		if got := rec.Phase.Status(); got != status {
			w.Errorf("line %d is %s (%+v), want %s", i+1, got, rec.Phase, status)
		}
		if status.Terminal() {
			w.line(i + 1)
		}
		if c, ok := rec.Phase.(state.Completed); ok && c.Tokens != answered() {
			w.Errorf("line %d took %+v tokens", i+1, c.Tokens)
		}
	}
	w.kept()
}

func (w *world) kept() {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.wrong {
		w.Error(s)
	}
}

// line returns the stored result line of a request; it must be its own.
func (w *world) line(n int) string {
	w.Helper()
	rec := w.record(n)
	var at state.Span
	switch p := rec.Phase.(type) {
	case state.Completed:
		at = p.Answer
	case state.Failed:
		at = p.Answer
	case state.Pending, state.Claimed, state.Processing, state.Canceled:
		w.Fatalf("line %d has no answer: %+v", n, p)
	}
	if at == (state.Span{}) {
		w.Fatalf("line %d has no span: %+v", n, rec.Phase)
	}
	body, err := w.files.Read(w.Context(), batch.SegmentKey(testBatch, at.Object), at.Offset, at.Length)
	must(w.T, err)
	if !strings.HasPrefix(string(body), fmt.Sprintf(`{"id":"batch_req_test_%d","custom_id":"c%d",`, n, n)) ||
		!strings.HasSuffix(string(body), "}\n") || strings.Count(string(body), "\n") != 1 {
		w.Fatalf("line %d of the batch has the line %q", n, body)
	}
	return string(body)
}

func (w *world) segments() int {
	n := 0
	for _, key := range w.files.Keys() {
		if strings.HasPrefix(key, "batches/") {
			n++
		}
	}
	return n
}

func (w *world) progress() batch.Counts {
	c, err := w.store.Progress(w.Context(), testBatch)
	must(w.T, err)
	return c
}

func (w *world) update(f func(*batch.Batch) error) {
	w.Helper()
	_, err := w.store.UpdateBatch(w.Context(), batch.Ref{Tenant: testTenant, ID: testBatch}, f)
	must(w.T, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// allCompleted returns what done wants of n completed lines.
func allCompleted(n int) []state.Status {
	return slices.Repeat([]state.Status{state.StatusCompleted}, n)
}

// An upstream answers calls. answer gets the line and how often it was called
// before; without it every call is answered at once with 200.
type upstream struct {
	world  *world
	answer func(ctx context.Context, line, before int) (execute.Reply, error)
	lasts  bool // calls of dead machines go on, so that overlaps are no fault

	mu     sync.Mutex
	calls  map[int]int
	routes map[int][]route.Route // by line
	times  []time.Time
	flying map[int]int // by line
	now    int
	peak   int
}

func ok(body string) (execute.Reply, error) {
	return execute.Reply{StatusCode: 200, RequestID: "r", Body: []byte(body), Model: "m-1", Tokens: answered()}, nil
}

// answered are the tokens of each answer.
func answered() state.Tokens {
	return state.Tokens{Input: 3, Cached: 1, Output: 4, Reasoning: 2, Total: 7}
}

func status(code int) (execute.Reply, error) {
	return execute.Reply{StatusCode: code, Body: []byte(`{"error":{"code":"server_error"}}`), ErrorCode: "server_error"}, nil
}

func (u *upstream) call(ctx context.Context, c execute.Call) (execute.Reply, error) {
	var line int
	if _, err := fmt.Sscanf(c.RequestID, "batch_req_test_%d", &line); err != nil {
		u.world.broken("called with request id %q", c.RequestID)
	}
	u.world.checkCall(ctx, line, c)
	u.mu.Lock()
	before := u.calls[line]
	u.calls[line]++
	u.routes[line] = append(u.routes[line], c.Route)
	u.times = append(u.times, time.Now())
	u.now++
	u.peak = max(u.peak, u.now)
	if u.flying[line]++; u.flying[line] > 1 && !u.lasts {
		u.world.broken("line %d is called twice at once", line)
	}
	answer := u.answer
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.now--
		u.flying[line]--
	}()
	if answer == nil {
		return ok(`{}`)
	}
	return answer(ctx, line, before)
}

// checkCall holds the promises against a call that leaves now.
func (w *world) checkCall(ctx context.Context, line int, c execute.Call) {
	rec := w.stored(ctx, line)
	p, ok := rec.Phase.(state.Processing)
	if !ok {
		w.broken("line %d was called while it was %v", line, rec.Phase)
		return
	}
	if c.CustomID != fmt.Sprintf("c%d", line) || c.IdempotencyKey == "" || c.URL != "/v1/chat/completions" {
		w.broken("line %d was called as %+v", line, c)
	}
	if !strings.Contains(string(c.Body), fmt.Sprintf("[%d]", line)) {
		w.broken("line %d was called with the body %q", line, c.Body)
	}
	if !time.Now().Before(rec.Spec.StartUntil(p.Attempt)) {
		w.broken("line %d was called when it was too late for attempt %d", line, p.Attempt)
	}
	if p.Attempt > 0 && time.Now().Before(p.StartedAt) {
		w.broken("line %d was called before its start was stored", line)
	}
}

// called returns how often each of lines 1 to n was called.
func (u *upstream) called(n int) []int {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]int, n)
	for i := range out {
		out[i] = u.calls[i+1]
	}
	return out
}

// atOnce returns how many calls are in flight.
func (u *upstream) atOnce() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.now
}

// gaps returns the times between calls.
func (u *upstream) gaps() []time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []time.Duration
	for i := 1; i < len(u.times); i++ {
		out = append(out, u.times[i].Sub(u.times[i-1]))
	}
	return out
}

// counters are a Metrics.
type counters struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counters) Count(name string, n int, labels ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]int{}
	}
	c.by[name+"{"+strings.Join(labels, ",")+"}"] += n
}

// Observe adds value up, and counts how many there were.
func (c *counters) Observe(name string, value float64, labels ...string) {
	c.Count(name, int(value), labels...)
	c.Count(name+" values", 1, labels...)
}

// models are the models that labels name.
func (c *counters) models() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	named := map[string]bool{}
	for key := range c.by {
		if _, rest, ok := strings.Cut(key, "{model,"); ok {
			name, _, _ := strings.Cut(strings.TrimSuffix(rest, "}"), ",")
			named[name] = true
		}
	}
	return slices.Sorted(maps.Keys(named))
}

func (c *counters) of(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[key]
}

// logs keep what is logged as a warning or an error.
type logs struct {
	mu  sync.Mutex
	all map[string]int // by message
}

func (*logs) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]int{}
	}
	l.all[r.Message]++
	return nil
}

func (l *logs) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logs) WithGroup(string) slog.Handler      { return l }

// count returns how often a message was logged.
func (l *logs) count(message string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[message]
}

// messages returns what was logged, each once.
func (l *logs) messages() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.all))
}
