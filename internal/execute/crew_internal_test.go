package execute

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestCrew demands that functions run beside each other, that a goroutine that is idle takes the next, and that none is left.
func TestCrew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		var mu sync.Mutex
		ran := map[string]int{} // by goroutine
		wave := func(n int) {
			var group sync.WaitGroup
			begun := time.Now()
			for range n {
				c.run(&group, func() {
					time.Sleep(time.Second)
					stack := make([]byte, 64)
					name, _, _ := bytes.Cut(stack[:runtime.Stack(stack, false)], []byte(" ["))
					mu.Lock()
					defer mu.Unlock()
					ran[string(name)]++
				})
			}
			group.Wait()
			synctest.Wait() // all are idle
			if time.Since(begun) != time.Second {
				t.Errorf("%d functions took %v", n, time.Since(begun))
			}
		}
		wave(3)
		wave(2)
		wave(4)
		c.dismiss()
		c.wait()
		functions := 0
		for _, n := range ran {
			functions += n
		}
		if functions != 9 || len(ran) != 4 {
			t.Errorf("%d functions ran in %d goroutines", functions, len(ran))
		}
	})
}
