package execute

import "sync"

// A crew runs functions beside each other, each in a goroutine that it keeps for
// the next: a new one has a small stack, whose growth to what a call through AWS's
// SDK takes is a twentieth of a request's CPU. It has as many as ever ran at once.
type crew struct {
	tasks chan func()
	over  chan struct{} // closed when nobody is kept any more
	kept  sync.WaitGroup
}

func newCrew() *crew { return &crew{tasks: make(chan func()), over: make(chan struct{})} }

// run has f run, and group wait for it.
func (c *crew) run(group *sync.WaitGroup, f func()) {
	group.Add(1)
	task := func() {
		defer func() {
			if v := recover(); v != nil { // as with WaitGroup.Go, who waits must not go on before the process has died of it
				panic(v)
			}
			group.Done()
		}()
		f()
	}
	select {
	case c.tasks <- task:
	default: // nobody is idle
		c.kept.Go(func() { c.keep(task) })
	}
}

// keep runs task, and those that come until all is over.
func (c *crew) keep(task func()) {
	for {
		task()
		select {
		case task = <-c.tasks:
		case <-c.over:
			return
		}
	}
}

// dismiss ends the goroutines, each once it is idle, and waits for none.
func (c *crew) dismiss() { close(c.over) }

// wait waits for the goroutines, which are dismissed.
func (c *crew) wait() { c.kept.Wait() }
