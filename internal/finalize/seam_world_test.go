package finalize_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

// A seam is a loaded batch with real workers and a real finalizer around it:
// what either does wrong for the other shows here. Use it in a synctest bubble.
type seam struct {
	t     *testing.T
	store *memstore.Store
	files *memstore.Files
	queue *bag
	flow  *memstore.Flow
	ref   batch.Ref

	answer func(line int) (time.Duration, execute.Reply) // how long a call takes, and what it brings
	putErr func() error                                  // what writing counts of a worker comes to; nil: it works
	before func(p *process, write string)                // is called before each write of a worker

	workers sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context

	mu     sync.Mutex
	ids    int
	calls  map[int]int
	flying map[int]bool
}

const (
	seamLimit      = 15 * time.Minute // a Lambda invocation's
	seamVisibility = 16 * time.Minute // the queue's own
	seamPlaces     = 10               // an invocation's
)

func newSeam(t *testing.T, lines int) *seam {
	t.Helper()
	s := &seam{
		t: t, store: memstore.NewStore(), files: memstore.NewFiles(), flow: memstore.NewFlow(), queue: newBag(),
		ref: batch.Ref{Tenant: "acme", ID: "batch_seam"}, calls: map[int]int{}, flying: map[int]bool{},
	}
	s.answer = func(int) (time.Duration, execute.Reply) { return time.Second, answered() }
	s.ctx, s.stop = context.WithCancel(t.Context())
	now := time.Now().UTC()
	b := batch.Batch{
		Ref: s.ref, Endpoint: "/v1/chat/completions", InputFileID: "file-in", Policy: retry.Default(),
		Status: batch.StatusInProgress, Shards: batch.Shards(lines), Counts: batch.Counts{Total: lines},
		Load: batch.LoadCursor{Validated: true, Line: lines}, CreatedAt: now, InProgressAt: now,
		Deadline: now.Add(7 * 24 * time.Hour),
	}
	s.must(s.store.CreateBatch(s.ctx, b))
	s.must(s.store.CreateFile(s.ctx, batch.File{Tenant: "acme", ID: "file-in", PinnedBy: []string{b.ID}}))
	var input strings.Builder
	made := make([]state.Change, lines)
	for i := range made {
		text := fmt.Sprintf(`{"custom_id":"c%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}`, i+1)
		change, err := state.New(state.Spec{
			Key: b.Key(i + 1), CustomID: fmt.Sprintf("c%d", i+1), Deadline: b.Deadline,
			Body: state.Span{Offset: int64(input.Len()), Length: int64(len(text))},
		}).Change()
		s.must(err)
		made[i] = change
		input.WriteString(text + "\n")
	}
	s.must(s.store.Create(s.ctx, made))
	s.must(s.files.Put(s.ctx, batch.FileKey("acme", "file-in"), []byte(input.String())))
	return s
}

func answered() execute.Reply { return execute.Reply{StatusCode: 200, Body: []byte(`{}`)} }

func (s *seam) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *seam) newID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids++
	return fmt.Sprintf("id%d", s.ids)
}

func (s *seam) done() int {
	p, err := s.store.Progress(context.WithoutCancel(s.ctx), s.ref.ID)
	s.must(err)
	return p.Done()
}

// A process is a Lambda environment. Once it is dead nothing of it has an effect.
type process struct {
	*memstore.Store

	seam *seam
	mu   sync.Mutex
	dead bool
}

var errDead = errors.New("the process is dead")

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

func (p *process) alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errDead
	}
	return nil
}

func (p *process) write(what string) error {
	if p.seam.before != nil {
		p.seam.before(p, what)
	}
	return p.alive()
}

func (p *process) Apply(ctx context.Context, c state.Change) error {
	if err := p.write("Apply"); err != nil {
		return err
	}
	return p.Store.Apply(ctx, c)
}

func (p *process) ApplyAll(ctx context.Context, cs []state.Change) []error {
	if err := p.write("Apply"); err != nil {
		return slices.Repeat([]error{err}, len(cs))
	}
	return p.Store.ApplyAll(ctx, cs)
}

func (p *process) Beat(ctx context.Context, w state.Worker) error {
	if err := p.write("Beat"); err != nil {
		return err
	}
	return p.Store.Beat(ctx, w)
}

func (p *process) PutCounter(ctx context.Context, id string, c batch.CounterShard) error {
	if err := p.write("PutCounter"); err != nil {
		return err
	}
	if p.seam.putErr != nil {
		if err := p.seam.putErr(); err != nil {
			return err
		}
	}
	return p.Store.PutCounter(ctx, id, c)
}

func (p *process) UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error) {
	if err := p.write("UpdateBatch"); err != nil {
		return batch.Batch{}, err
	}
	return p.Store.UpdateBatch(ctx, ref, change)
}

func (p *process) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return p.seam.files.Read(ctx, key, offset, length)
}

func (p *process) Put(ctx context.Context, key string, body []byte) error {
	if err := p.write("Put"); err != nil {
		return err
	}
	return p.seam.files.Put(ctx, key, body)
}

func (p *process) ChangeVisibility(_ context.Context, handles []string, d time.Duration) error {
	if err := p.write("ChangeVisibility"); err != nil {
		return err
	}
	p.seam.queue.changeVisibility(handles, d)
	return nil
}

func (p *process) Delete(_ context.Context, handles []string) error {
	if err := p.write("DeleteMessages"); err != nil {
		return err
	}
	p.seam.queue.drop(handles...)
	return nil
}

func (p *process) Wake(ctx context.Context, token string) error {
	if err := p.write("Wake"); err != nil {
		return err
	}
	return p.seam.flow.Wake(ctx, token)
}

// ReceiveMessages receives, and looks again every 100 ms for as long as wait.
func (p *process) ReceiveMessages(ctx context.Context, n int, visibility, wait time.Duration) ([]batch.Delivery, error) {
	for until := time.Now().Add(wait); ; {
		if err := p.alive(); err != nil {
			return nil, err
		}
		got := p.seam.queue.receive(p, n, visibility)
		if len(got) > 0 || !time.Now().Before(until) {
			return got, ctx.Err()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (p *process) Count(string, int, ...string)       {}
func (p *process) Observe(string, float64, ...string) {}

func (p *process) Call(ctx context.Context, c execute.Call) (execute.Reply, error) {
	line, ok := batch.ParseRequestID(p.seam.ref.ID, c.RequestID)
	if !ok {
		p.seam.t.Errorf("called as %q", c.RequestID)
	}
	took, reply := p.seam.answer(line)
	p.seam.call(line, true)
	defer p.seam.call(line, false)
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return execute.Reply{}, ctx.Err()
	}
	if err := p.alive(); err != nil {
		return execute.Reply{}, err
	}
	return reply, nil
}

func (s *seam) call(line int, starts bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if starts {
		s.queue.called(line, s.calls[line] == 0)
		s.calls[line]++
	}
	s.flying[line] = starts
}

// repeated returns how many calls were made beyond the first of each line.
func (s *seam) repeated() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, calls := range s.calls {
		n += calls - 1
	}
	return n
}

// environment takes messages by tens, as the event source hands them out, until
// the batch ends. A process that dies is followed by another at once.
func (s *seam) environment(after time.Duration) {
	s.workers.Go(func() {
		s.sleep(after)
		for s.ctx.Err() == nil {
			p := &process{Store: s.store, seam: s}
			w := execute.New(execute.Deps{
				Requests: p, Workers: p, Limits: p, Batches: p, Files: p, Queue: p, Flow: p, Caller: p, Metrics: p,
				Log: slog.New(slog.DiscardHandler), Clock: time.Now, Uniform: func() float64 { return 0.5 }, NewID: s.newID,
				Models: route.NewTable(route.DefaultModel("https://api.example.com/v1", false)).Now,
			}, execute.Config{Places: seamPlaces})
			for s.ctx.Err() == nil && p.alive() == nil {
				s.event(p, w)
			}
		}
	})
}

func (s *seam) event(p *process, w *execute.Worker) {
	deliveries := s.queue.receive(p, 10, seamVisibility)
	if len(deliveries) == 0 {
		s.sleep(time.Second)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), seamLimit)
	defer cancel()
	ended := make(chan []string, 1)
	s.workers.Go(func() { ended <- w.Run(ctx, deliveries) })
	for {
		select {
		case stay := <-ended:
			if p.alive() == nil {
				s.queue.remove(deliveries, stay)
			}
			return
		case <-time.After(100 * time.Millisecond): // a killed process is gone at once
			if p.alive() != nil {
				return
			}
		}
	}
}

func (s *seam) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

// A ride is what a batch took to its end.
type ride struct {
	took                time.Duration
	turns, wakes, ticks int
}

// transitions are Step Functions' transitions, of which each state entered is
// one: Load and Loaded, then Advance, Advanced and a park a turn, and Done.
func (r ride) transitions() int { return 2 + 3*(r.turns-1) + 3 }

// events are those of the execution's history: 13 a turn, and some 30 about it.
func (r ride) events() int { return 13*r.turns + 30 }

// run plays the flow's definition until the batch ends.
func (s *seam) run(cfg finalize.Config, each func()) ride {
	s.t.Helper()
	f := finalize.New(finalize.Deps{
		Requests: s.store, Journal: s.store, Batches: s.store, Objects: s.files, Uploads: s.files, Queue: s.queue,
		Flow: s.flow, Clock: clock(), Log: slog.New(slog.DiscardHandler),
		NewFileID: func(time.Time) (string, error) { return "file-" + s.newID(), nil },
	}, cfg)
	start, r := time.Now(), ride{}
	for {
		ctx, cancel := context.WithTimeout(s.ctx, seamLimit)
		next, err := f.Advance(ctx, s.ref)
		cancel()
		s.must(err)
		if r.turns++; each != nil {
			each()
		}
		var park time.Duration
		switch next {
		case finalize.NextEnd:
			r.took = time.Since(start)
			s.stop()
			s.workers.Wait()
			return r
		case finalize.NextAdvance:
			continue
		case finalize.NextLong:
			park = finalize.LongPark
		case finalize.NextMedium:
			park = finalize.MediumPark
		case finalize.NextShort:
			park = finalize.ShortPark
		}
		token := s.newID()
		s.must(f.Park(s.ctx, s.ref, token))
		ctx, cancel = context.WithTimeout(s.ctx, park)
		if s.flow.Await(ctx, token) == nil {
			r.wakes++
		} else {
			r.ticks++
		}
		cancel()
	}
}

// ended checks that every line was completed.
func (s *seam) ended(completed int) {
	s.t.Helper()
	b, err := s.store.Batch(s.t.Context(), s.ref)
	s.must(err)
	if b.Status != batch.StatusCompleted || b.Counts.Completed != completed {
		s.t.Errorf("the batch is %s with %+v, want %d completed", b.Status, b.Counts, completed)
	}
}

// A bag is a queue without any order, as SQS's is at worst, or with one.
type bag struct {
	ordered bool // the first to be shown is the first to be handed out

	mu      sync.Mutex
	random  *rand.Rand
	sent    int
	visible []*bagged
	hidden  map[*bagged]time.Time
	handles map[string]*bagged
	again   map[int][]time.Time   // by line: when it was sent again
	first   map[int]time.Time     // by line: when it was sent first
	waits   map[int]time.Duration // by line: from then to its first call
}

type bagged struct {
	id, receives int
	untouched    bool // nobody has hidden it since its last receive
	message      batch.Message
}

func (m *bagged) handle() string { return fmt.Sprintf("%d.%d", m.id, m.receives) }

func newBag() *bag {
	return &bag{random: rand.New(rand.NewPCG(1, 2)), hidden: map[*bagged]time.Time{}, handles: map[string]*bagged{}, again: map[int][]time.Time{}, first: map[int]time.Time{}, waits: map[int]time.Duration{}}
}

// Send puts messages in.
func (q *bag) Send(_ context.Context, ms []batch.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range ms {
		q.sent++
		q.visible = append(q.visible, &bagged{id: q.sent, message: m})
		if q.first[m.Line].IsZero() {
			q.first[m.Line] = time.Now()
		}
		if m.Reenqueued {
			q.again[m.Line] = append(q.again[m.Line], time.Now())
		}
	}
	return nil
}

// receive hands messages to p, and none if it is dead.
func (q *bag) receive(p *process, limit int, visibility time.Duration) []batch.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.alive() != nil {
		return nil
	}
	q.show()
	var out []batch.Delivery
	for len(q.visible) > 0 && len(out) < limit {
		if !q.ordered {
			i := q.random.IntN(len(q.visible))
			q.visible[0], q.visible[i] = q.visible[i], q.visible[0]
		}
		m := q.visible[0]
		q.visible = q.visible[1:]
		m.receives++
		m.untouched = visibility == seamVisibility
		q.hidden[m] = time.Now().Add(visibility)
		q.handles[m.handle()] = m
		body, err := m.message.Encode()
		if err != nil {
			panic(err)
		}
		out = append(out, batch.Delivery{MessageID: fmt.Sprint(m.id), Handle: m.handle(), Receives: m.receives, Body: body})
	}
	return out
}

// show makes visible what was hidden long enough, in the order of sending so
// that a run replays; q.mu is held.
func (q *bag) show() {
	var due []*bagged
	for m, at := range q.hidden {
		if !time.Now().Before(at) {
			due = append(due, m)
		}
	}
	for _, m := range sortedByID(due) {
		delete(q.hidden, m)
		delete(q.handles, m.handle())
		q.visible = append(q.visible, m)
	}
}

func (q *bag) changeVisibility(handles []string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.show()
	for _, h := range handles {
		if m := q.handles[h]; m != nil {
			m.untouched = false
			q.hidden[m] = time.Now().Add(d)
		}
	}
}

// killTouched kills ps, unless a message was received that nobody has hidden
// since, and reports whether it did.
func (q *bag) killTouched(ps []*process) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for m := range q.hidden {
		if m.untouched {
			return false
		}
	}
	for _, p := range ps {
		p.kill()
	}
	return true
}

// remove deletes the messages of an event but those that stay.
func (q *bag) remove(event []batch.Delivery, stay []string) {
	for _, d := range event {
		if !contains(stay, d.MessageID) {
			q.drop(d.Handle)
		}
	}
}

// drop deletes received messages.
func (q *bag) drop(handles ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, h := range handles {
		if m := q.handles[h]; m != nil {
			delete(q.handles, h)
			delete(q.hidden, m)
		}
	}
}

// lose drops the messages of lines that nobody has received.
func (q *bag) lose(lost func(line int) bool) (lines []int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.visible[:0]
	for _, m := range q.visible {
		if lost(m.message.Line) {
			lines = append(lines, m.message.Line)
		} else {
			kept = append(kept, m)
		}
	}
	q.visible = kept
	return lines
}

func (q *bag) sentSoFar() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sent
}

// processing returns how many requests a worker holds.
func (s *seam) processing() int {
	n := 0
	for rec, err := range s.store.Requests(s.t.Context(), s.ref.ID, batch.Shards(1_000_000), 0) {
		s.must(err)
		if rec.Phase.Status() == state.StatusProcessing {
			n++
		}
	}
	return n
}

// loseOne drops one of the messages that wait, if there is any.
func (q *bag) loseOne() (line int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.visible) == 0 {
		return 0, false
	}
	i := q.random.IntN(len(q.visible))
	line = q.visible[i].message.Line
	q.visible = slices.Delete(q.visible, i, i+1)
	return line, true
}

// sentAgain returns how long after a time line was sent again; 0 if it was not.
func (q *bag) sentAgain(line int, after time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, at := range q.again[line] {
		if at.After(after) {
			return at.Sub(after)
		}
	}
	return 0
}

// called is told of a call of line.
func (q *bag) called(line int, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if first {
		q.waits[line] = time.Since(q.first[line])
	}
}

// waited returns how long lines waited until they were called first, but for
// those that were lost.
func (q *bag) waited(lost map[int]time.Time) (mean, longest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for line, w := range q.waits {
		if _, ok := lost[line]; !ok {
			mean, longest = mean+w/time.Duration(len(q.waits)), max(longest, w)
		}
	}
	return mean, longest
}
