package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
)

// A world is one run: all use cases, the services between them, and users.
type world struct {
	seed   uint64
	plan   *plan
	sched  *scheduler
	store  *memstore.Store
	files  *memstore.Files
	queue  *queue
	source *source
	flows  *flows
	check  *checker
	gate   *gate
	users  *process // whose dying lets them go
	over   chan struct{}

	unhidden bool // somebody died while a message was hidden for the queue's own, long time

	mu        sync.Mutex
	processes []*process
	nicks     map[string]string // by id
	calls     map[string]int    // of the API, by user
	asked     int
	hits      map[fault]int
	passes    map[string]int
	all       sync.WaitGroup
}

// A report is what a run brought.
type report struct {
	seed   uint64
	finds  []string
	hits   map[fault]int
	passes map[string]int
	sum    uint64 // of the log
	turns  int
	took   time.Duration // virtual
	wakes  int           // that ended a flow's wait
	ticks  int           // a flow's waits that timed out
}

// run runs a plan to its end, in a bubble of testing/synctest.
func run(seed uint64, p *plan, d *definition, trace io.Writer) report {
	w := &world{
		seed: seed, plan: p, sched: newScheduler(seed, trace), store: memstore.NewStore(), files: memstore.NewFiles(),
		nicks: map[string]string{}, calls: map[string]int{}, hits: map[fault]int{}, passes: map[string]int{},
		over: make(chan struct{}),
	}
	w.check, w.gate = &checker{world: w}, newGate(w)
	w.queue, w.source, w.flows = newQueue(w), newSource(w), newFlows(w, d)
	w.users = &process{world: w, name: "users"}
	if p.route.RPM > 0 || p.route.MaxConcurrency > 0 {
		w.hit(routeLimited)
	}
	for _, j := range p.jobs {
		w.upload(j)
		if !p.lively && j.window < time.Hour {
			w.hit(dueSoon)
		}
		if j.bad {
			w.hit(badFile)
		}
	}
	for _, j := range p.jobs {
		w.spawn(func() { w.user(j) })
	}
	if p.script != nil {
		w.spawn(func() { p.script(w) })
	}
	w.sweeps()
	w.spawn(func() { w.judge(w.sched.stop) })
	w.sched.loop()
	w.end()
	defer time.Sleep(leaving) // who sleeps meets its end at its next call
	return report{
		seed: seed, finds: w.check.finds, hits: w.hits, passes: w.passes,
		sum: w.sched.sum, turns: w.sched.count, took: w.sched.now(), wakes: w.flows.wakes, ticks: w.passes["tick"],
	}
}

// judge waits until all batches have ended and nothing is left of them, or for
// too long, and then checks them.
func (w *world) judge(over func()) {
	ended := func() bool {
		return !slices.ContainsFunc(w.plan.jobs, func(j *job) bool { return !j.shadow.batch.Status.Terminal() })
	}
	for !ended() && w.sched.now() < w.plan.limit {
		_ = w.sched.await(context.Background(), nil, "judge", 10*time.Second)
	}
	if !ended() {
		for _, j := range w.plan.jobs {
			if b := j.shadow.batch; !b.Status.Terminal() {
				w.check.wrong("%s is %s, %d of %d enqueued, calm from %v", j.nick, b.Status, b.Enqueued, b.Counts.Total, w.plan.calmAt)
			}
		}
	}
	for until := w.sched.now() + 3*time.Hour; !w.settled() && w.sched.now() < until; {
		_ = w.sched.await(context.Background(), nil, "judge", 30*time.Second)
	}
	for _, j := range w.plan.jobs {
		w.check.ended(j)
	}
	over()
}

// settled reports whether nothing goes on any more.
func (w *world) settled() bool {
	for _, x := range w.flows.executions {
		if !x.ended {
			return false
		}
	}

	entries, _, _ := w.store.Runnings(context.Background(), "", 1)
	return w.source.running+len(w.queue.messages)+len(w.queue.dead)+len(entries) == 0 && !slices.ContainsFunc(w.plan.jobs, func(j *job) bool { return !j.read })
}

// leaving is longer than an invocation of a worker lasts.
const leaving = 20 * time.Minute

// end ends whatever lives still.
func (w *world) end() {
	close(w.over)
	for _, x := range w.flows.executions {
		x.stop(errStopped)
	}
	w.mu.Lock()
	processes := slices.Clone(w.processes)
	w.mu.Unlock()
	for _, p := range append(processes, w.users) {
		p.ended = nil
		w.sched.kill(p)
	}
}

// spawn runs f, which may end by Goexit.
func (w *world) spawn(f func()) { w.all.Go(f) }

// calm reports whether nothing goes wrong any more.
func (w *world) calm() bool { return w.plan.lively && w.sched.now() >= w.plan.calmAt }

// hit counts a fault.
func (w *world) hit(f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hits[f]++
}

// pass counts a transition.
func (w *world) pass(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passes[what]++
}

// Count counts what the workers count.
func (w *world) Count(name string, n int, labels ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name == "reclaims_total" {
		w.passes["reclaim of a "+labels[1]+" worker's"] += n
	}
}

// Observe takes the values that workers measure; no rule asks for them.
func (*world) Observe(string, float64, ...string) {}

// named learns the nick of a batch.
func (w *world) named(b batch.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if nick := b.Metadata["nick"]; nick != "" {
		w.nicks[b.ID] = nick
	}
}

// nick returns how an id is told of.
func (w *world) nick(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if nick := w.nicks[id]; nick != "" {
		return nick
	}
	return id
}

// job returns the job of this nick; nil if there is none.
func (w *world) job(nick string) *job {
	for _, j := range w.plan.jobs {
		if j.nick == nick {
			return j
		}
	}
	return nil
}

// handler returns where p's log goes.
func (w *world) handler(p *process) slog.Handler {
	if w.sched.trace == nil {
		return slog.DiscardHandler
	}
	return slog.NewTextHandler(logWriter{p}, nil)
}

type logWriter struct{ *process }

func (l logWriter) Write(b []byte) (int, error) {
	w := l.world
	w.sched.mu.Lock()
	defer w.sched.mu.Unlock()
	fmt.Fprintf(w.sched.trace, "%14.6f %s logs %s", w.sched.now().Seconds(), l.name, b)
	return len(b), nil
}

// String tells what a run brought.
func (r report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "seed %d: %d turns in %v, log %016x\n", r.seed, r.turns, r.took.Round(time.Second), r.sum)
	for _, f := range r.finds {
		fmt.Fprintf(&s, "  %s\n", f)
	}
	for _, k := range slices.Sorted(maps.Keys(r.hits)) {
		fmt.Fprintf(&s, "  %6d %s\n", r.hits[k], k)
	}
	for _, k := range slices.Sorted(maps.Keys(r.passes)) {
		fmt.Fprintf(&s, "  %6d %s\n", r.passes[k], k)
	}
	return s.String()
}
