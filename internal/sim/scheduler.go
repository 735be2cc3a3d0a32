package sim

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing/synctest"
	"time"
)

// A scheduler decides the order of all that reaches beyond a process: each
// service call, answer and event waits for its turn, and one has it at a time,
// when everything else is blocked. Turns come by their time, which the seed
// gives, and at the same instant by what they are; who asked first plays no part.
type scheduler struct {
	seed  uint64
	start time.Time
	news  chan struct{} // an earlier turn was asked for than the one slept for

	mu    sync.Mutex
	turns turns
	had   map[uint64]had // by sort of turn
	over  bool
	sum   uint64    // of the log
	count int       // turns had
	trace io.Writer // where the log goes; nil for nowhere
}

// A had is at how many instants turns of one sort were had, and at which one
// last: those of one instant count once, since nothing tells them apart.
type had struct {
	n  uint64
	at time.Duration
}

// A turn is something's wait for its place in the order.
type turn struct {
	due   time.Duration // since the start
	rank  uint64        // among those due at the same instant
	what  string
	owner *process      // nil: nobody's, so that it survives everybody
	ready chan struct{} // closed when it comes
	run   func()        // or this is called, which must not block
	index int           // in the heap; -1 once it is out
}

func newScheduler(seed uint64, trace io.Writer) *scheduler {
	return &scheduler{
		seed: seed, start: time.Now(), news: make(chan struct{}, 1),
		had: map[uint64]had{}, trace: trace,
	}
}

// now returns the time since the start.
func (s *scheduler) now() time.Duration { return time.Since(s.start) }

// loop gives turns until stop is called.
func (s *scheduler) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		synctest.Wait()
		wait, over := s.give()
		if over {
			return
		}
		if wait == 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.news:
		}
	}
}

// give gives the first turn if it is due. Otherwise it returns how long until
// one is.
func (s *scheduler) give() (wait time.Duration, over bool) {
	s.mu.Lock()
	if s.over || len(s.turns) == 0 {
		defer s.mu.Unlock()
		return 24 * time.Hour, s.over
	}
	now := s.now()
	t := s.turns[0]
	if t.due > now {
		defer s.mu.Unlock()
		return t.due - now, false
	}
	if t.owner != nil && t.owner.thaw > now { // a frozen process notices nothing
		t.due = t.owner.thaw
		heap.Fix(&s.turns, 0)
		s.mu.Unlock()
		return 0, false
	}
	heap.Pop(&s.turns)
	s.count++
	s.mu.Unlock()
	if t.run != nil {
		t.run()
	} else {
		close(t.ready)
	}
	return 0, false
}

// stop ends the loop.
func (s *scheduler) stop() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.wakeUp()
}

func (s *scheduler) wakeUp() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// dice returns what a turn's fate is rolled with. Those that wait for the same
// at the same time share it, so it does not matter who of them is first.
func (s *scheduler) dice(what string) *dice {
	d := roll(s.seed, what)
	s.mu.Lock()
	defer s.mu.Unlock()
	*d += dice(s.had[uint64(*d)].n * 0xda942042e4dd58b5)
	return d
}

// passed counts a turn of this sort, so that the next one's dice are others.
func (s *scheduler) passed(what string) {
	key := uint64(*roll(s.seed, what))
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.had[key]; h.n == 0 || h.at != s.now() {
		s.had[key] = had{n: h.n + 1, at: s.now()}
	}
}

// ask asks for a turn after d.
func (s *scheduler) ask(t *turn, d time.Duration) {
	t.rank = uint64(*roll(s.seed, t.what))
	s.mu.Lock()
	t.due = s.now() + max(d, 0)
	heap.Push(&s.turns, t)
	first := s.turns[0] == t
	s.mu.Unlock()
	if first {
		s.wakeUp()
	}
}

// await returns nil when its turn comes, after d, or ctx's error if that ends
// first. It does not return to a process that is dead by then.
func (s *scheduler) await(ctx context.Context, p *process, what string, d time.Duration) error {
	t := &turn{what: what, owner: p, ready: make(chan struct{})}
	if p != nil && p.gone() {
		runtime.Goexit()
	}
	s.ask(t, d)
	var err error
	select {
	case <-t.ready:
	case <-ctx.Done():
		s.drop(t)
		err = context.Cause(ctx)
		if err == nil || ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	if p == nil {
		return err
	}
	if rest := s.frozen(p); err != nil && rest > 0 {
		_ = s.await(context.WithoutCancel(ctx), p, what+" thaws", rest)
	}
	if p.gone() {
		runtime.Goexit()
	}
	return err
}

// after calls f when its turn comes, after d. f must not block.
func (s *scheduler) after(what string, d time.Duration, f func()) {
	s.ask(&turn{what: what, run: f}, d)
}

func (s *scheduler) drop(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.index >= 0 {
		heap.Remove(&s.turns, t.index)
	}
}

// frozen returns how long p is still frozen.
func (s *scheduler) frozen(p *process) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.thaw - s.now()
}

// freeze lets nothing happen in p for d.
func (s *scheduler) freeze(p *process, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.thaw = max(p.thaw, s.now()+d)
}

// kill ends p: what of it waits ends, and whatever else it starts.
func (s *scheduler) kill(p *process) {
	s.mu.Lock()
	if p.dead {
		s.mu.Unlock()
		return
	}
	p.dead = true
	var rest turns
	for _, t := range s.turns {
		if t.owner == p {
			t.index = -1
			close(t.ready)
		} else {
			rest = append(rest, t)
		}
	}
	s.turns = rest
	for i, t := range s.turns {
		t.index = i
	}
	heap.Init(&s.turns)
	s.mu.Unlock()
	if p.ended != nil {
		s.after(p.name+" is gone", 5*time.Millisecond, p.ended)
	}
}

// note adds a line to the log.
func (s *scheduler) note(what, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.sum = uint64(*roll(s.sum, what, result)) + uint64(now) //nolint:gosec // a checksum
	if s.trace != nil {
		fmt.Fprintf(s.trace, "%14.6f %s: %s\n", now.Seconds(), what, result)
	}
}

// turns is a heap, the first turn first.
type turns []*turn

func (h turns) Len() int { return len(h) }
func (h turns) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].due, h[j].due), cmp.Compare(h[i].rank, h[j].rank), cmp.Compare(h[i].what, h[j].what)) < 0
}
func (h turns) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *turns) Push(x any) {
	t, _ := x.(*turn)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *turns) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1], t.index = nil, -1
	*h = old[:len(old)-1]
	return t
}
