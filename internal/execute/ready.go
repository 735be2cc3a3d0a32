package execute

import (
	"sync"
	"time"
)

// readyWait is how long a job that is ready waits at most for others whose line
// may be read with its own.
const readyWait = 10 * time.Millisecond

// A gatherer gathers jobs that are ready, for as long as others may soon be.
type gatherer struct {
	run *run

	mu        sync.Mutex
	admitting int // jobs of which it is not known yet
	ready     []*job
	timer     *time.Timer // runs while jobs wait for others; counted among run.jobs
}

// expect says that n jobs will be admitted or not.
func (g *gatherer) expect(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitting += n
}

// admitted says whether j is ready. Once nobody else may be, or the first has
// waited for long enough, all go.
func (g *gatherer) admitted(j *job, ready bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitting--
	if ready {
		g.ready = append(g.ready, j)
	}
	switch {
	case g.admitting == 0:
		g.start()
	case len(g.ready) > 0 && g.timer == nil:
		g.run.jobs.Add(1)
		g.timer = time.AfterFunc(readyWait, func() {
			defer g.run.jobs.Done()
			g.mu.Lock()
			defer g.mu.Unlock()
			g.start()
		})
	}
}

// start starts the jobs that wait; g.mu is held.
func (g *gatherer) start() {
	if g.timer != nil && g.timer.Stop() {
		g.run.jobs.Done()
	}
	ready := g.ready
	g.timer, g.ready = nil, nil
	for _, s := range sections(ready) {
		g.run.jobs.Go(func() { g.run.section(s) })
	}
}
