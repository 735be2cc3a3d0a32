package sim

import (
	"runtime"
	"strconv"
	"sync"
	"time"
)

// A process is what lives and dies as one: a Lambda environment, or a caller of
// the API. All that its code shares with others it reaches through calls, so a
// process is dead when none of its calls returns any more.
type process struct {
	world *world
	name  string
	skew  time.Duration // of its clock

	worker bool   // one of execute
	run    int    // the invocation
	ended  func() // called in a turn soon after it died; nil: nobody cares

	thaw time.Duration // until when it is frozen; the scheduler's lock guards it
	dead bool          // the same
	beat time.Duration // when a heartbeat of its was last stored; the same
	deaf bool          // one has failed since; the same

	mu    sync.Mutex
	ids   int
	idsAt time.Time
	seen  map[string]bool // batches that it saw stop
	stint stint           // its invocation, if it is a worker
}

func (w *world) process(name string) *process {
	p := &process{world: w, name: name, seen: map[string]bool{}, thaw: -time.Hour} // never yet
	if d := roll(w.seed, "skew", name); w.plan.skew > 0 {
		p.skew = d.between(-w.plan.skew, w.plan.skew).Round(time.Millisecond)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.processes = append(w.processes, p)
	return p
}

// now is p's clock.
func (p *process) now() time.Time { return time.Now().Add(p.skew) }

func (p *process) gone() bool {
	p.world.sched.mu.Lock()
	defer p.world.sched.mu.Unlock()
	return p.dead
}

// beats is told that a heartbeat of p was stored, or has failed.
func (p *process) beats(stored bool) {
	p.world.sched.mu.Lock()
	defer p.world.sched.mu.Unlock()
	if p.deaf = !stored; stored {
		p.beat = p.world.sched.now()
	}
}

// mute reports whether p could not beat for so long that others may take its
// worker for dead: after 30 s, less what clocks differ by and a beat takes.
func (p *process) mute() bool {
	p.world.sched.mu.Lock()
	defer p.world.sched.mu.Unlock()
	return (p.deaf || p.thaw > p.beat) && p.world.sched.now()-p.beat >= 20*time.Second
}

// die ends p and with it the goroutine that calls.
func (p *process) die() {
	p.world.unhidden = p.world.unhidden || p.world.queue.untouched()
	p.world.sched.kill(p)
	runtime.Goexit()
}

// uniform is p's random number in [0, 1): another one at each instant.
func (p *process) uniform() float64 {
	return roll(p.world.seed, "uniform", p.name, p.instant()).float()
}

func (p *process) instant() string { return strconv.FormatInt(int64(p.world.sched.now()), 36) }

// newID returns a name that tells who made it when, so that it does not depend
// on what else was named.
func (p *process) newID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); !now.Equal(p.idsAt) {
		p.idsAt, p.ids = now, 0
	}
	p.ids++
	return p.name + "." + p.instant() + "." + strconv.Itoa(p.ids)
}

// Read fills b with p's random bytes.
func (p *process) Read(b []byte) (int, error) {
	d := roll(p.world.seed, "bytes", p.newID())
	for i := range b {
		b[i] = byte(d.next() & 0xff)
	}
	return len(b), nil
}

// invocation returns the number of p's present or last invocation.
func (p *process) invocation() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// workerID returns the id of the worker that p is at present.
func (p *process) workerID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stint.id
}
