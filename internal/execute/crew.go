package execute

import "sync"

// A crew runs functions beside each other, each in a goroutine that it keeps for
// the next: a new one has a small stack, whose growth to what a call through AWS's
// SDK takes costs a tenth of a request's time. It has as many as ever ran at once.
type crew struct {
	tasks chan func()
	kept  sync.WaitGroup
}

func newCrew() *crew { return &crew{tasks: make(chan func())} }

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
		c.kept.Go(func() {
			task()
			for task := range c.tasks {
				task()
			}
		})
	}
}

// end waits for all functions and ends the goroutines. Nothing may be run any more.
func (c *crew) end() {
	close(c.tasks)
	c.kept.Wait()
}
