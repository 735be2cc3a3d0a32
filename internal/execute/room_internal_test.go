package execute

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

func roomFor(shared int64) *room { return &room{shared: shared} }

// TestNobodyWaitsForEverybody has calls with lines and answers of any size, all
// of which are let go in the end, or give up: a room in which all wait ends the
// bubble.
func TestNobodyWaitsForEverybody(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			d := rand.New(rand.NewPCG(seed, 1))
			const calls, line, answer = 60, 2 * mib, 10 * mib
			most := int64(callMemory + line + answer)
			r := roomFor(int64(callMemory + line + d.IntN(30*mib)))
			check := func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.held > r.shared+most {
					t.Errorf("%d bytes are held of %d, and a call takes %d at most", r.held, r.shared, most)
				}
			}
			var jobs sync.WaitGroup
			for n := range uint64(calls) {
				jobs.Go(func() {
					d := rand.New(rand.NewPCG(seed, n+2))
					rest := func() { time.Sleep(time.Duration(d.IntN(100)) * time.Millisecond) }
					ctx := t.Context()
					if d.IntN(4) == 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Duration(d.IntN(500))*time.Millisecond)
						defer cancel()
					}
					rest()
					h, err := r.enter(ctx, d.Int64N(line))
					for left := d.Int64N(answer); err == nil && left > 0; rest() {
						more := min(1+d.Int64N(mib), left)
						left -= more
						err = h.Grow(ctx, more)
						check()
					}
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					if err == nil {
						h.keep(d.Int64N(callMemory))
						rest()
					}
					h.keep(0)
					check()
				})
			}
			jobs.Wait()
			if r.held != 0 || r.isShort() || r.first != nil {
				t.Errorf("seed %d: %d bytes are held at the end, some wait: %v, one need not: %v", seed, r.held, r.isShort(), r.first != nil)
			}
		})
	}
}

// TestWhoGoesOn has three calls that need more than there is, and one that is to
// begin.
func TestWhoGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := roomFor(4 * mib)
		order := make(chan string, 10)
		let := map[string]chan struct{}{}
		call := func(name string, grows int64) {
			let[name] = make(chan struct{}, 1)
			go func() {
				h, err := r.enter(t.Context(), mib-callMemory)
				order <- name + " begins"
				if err == nil {
					err = h.Grow(t.Context(), grows)
				}
				if err != nil {
					t.Error(err)
				}
				order <- name + " has it"
				<-let[name]
				h.keep(0)
			}()
			synctest.Wait()
		}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			for _, w := range want {
				select {
				case got := <-order:
					if got != w {
						t.Errorf("%s, want %s", got, w)
					}
				default:
					t.Fatalf("nothing, want %s", w)
				}
			}
			if len(order) > 0 {
				t.Errorf("and %s", <-order)
			}
		}
		call("a", usualAnswer) // which it has already
		expect("a begins", "a has it")
		call("b", 9*mib) // the oldest that waits: it need not
		expect("b begins", "b has it")
		call("c", 2*mib)
		expect() // there is no room to begin
		let["b"] <- struct{}{}
		expect("c begins", "c has it")
		call("d", mib) // more than is left, and c does not wait
		expect()
		let["c"] <- struct{}{}
		expect("d begins", "d has it")
		call("e", 9*mib)
		call("f", mib)
		expect("e begins", "e has it")
		let["e"] <- struct{}{}
		expect("f begins", "f has it")
		for _, goOn := range let {
			goOn <- struct{}{}
		}
	})
}

// TestAnAnswerTakesWhatItGrows demands what a call holds as its answer grows: what is usual
// it holds from its start.
func TestAnAnswerTakesWhatItGrows(t *testing.T) {
	t.Parallel()
	r := roomFor(4 * mib)
	h, err := r.enter(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ grows, held int64 }{
		{usualAnswer - 1, callMemory + 1000}, {1, callMemory + 1000}, {100, callMemory + 1100}, {mib, callMemory + 1100 + mib},
	} {
		if err := h.Grow(t.Context(), tc.grows); err != nil || r.held != tc.held {
			t.Errorf("after %d more it holds %d, want %d; %v", tc.grows, r.held, tc.held, err)
		}
	}
	h.keep(500)
	if h.keep(500); r.held != 500 {
		t.Errorf("it holds %d of 500 that are kept", r.held)
	}
	if h.keep(0); r.held != 0 {
		t.Errorf("it holds %d at its end", r.held)
	}
}

// TestTheOldestGoesOnFirst has the younger of two calls ask first for more than there is.
func TestTheOldestGoesOnFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := roomFor(4 * mib)
		var calls []*hold
		for range 3 {
			h, err := r.enter(t.Context(), mib-callMemory)
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, h)
		}
		grown := make([]bool, 3)
		for _, n := range []int{1, 2, 0} {
			go func() {
				grown[n] = calls[n].Grow(t.Context(), 9*mib) == nil
			}()
			synctest.Wait()
		}
		for _, want := range [][]bool{{false, true, false}, {true, true, false}, {true, true, true}} {
			for n, has := range want {
				if grown[n] != has {
					t.Errorf("call %d goes on: %t, want %v", n, grown[n], want)
				}
			}
			for _, n := range []int{1, 0} { // whoever has it ends
				if grown[n] && calls[n].bytes > 0 {
					calls[n].keep(0)
					break
				}
			}
			synctest.Wait()
		}
		calls[2].keep(0)
	})
}

// TestAFullRoom has calls take all that there is to the byte, and one more.
func TestAFullRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := roomFor(2 * mib)
		a, err := r.enter(t.Context(), mib-callMemory)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Grow(t.Context(), mib+usualAnswer); err != nil || r.first != nil || r.isShort() {
			t.Errorf("what fits needs more than there is: %t, %v", r.first != nil, err)
		}
		a.keep(mib)
		b, err := r.enter(t.Context(), mib-callMemory)
		if err != nil || r.held != 2*mib {
			t.Fatalf("%d bytes are held, %v", r.held, err)
		}
		entered := false
		go func() {
			c, err := r.enter(t.Context(), 0)
			entered = err == nil
			c.keep(0)
		}()
		synctest.Wait()
		if entered || !r.isShort() {
			t.Error("a call begins in a room that is full")
		}
		if err := b.Grow(t.Context(), 9*mib); err != nil || r.first != b {
			t.Errorf("the only one that waits for more waits on: %v", err)
		}
		grown := false
		go func() { grown = a.Grow(t.Context(), 9*mib) == nil }()
		b.keep(8 * mib) // still more than there is
		synctest.Wait()
		if grown || entered {
			t.Error("somebody goes on beside the one that need not wait")
		}
		b.keep(0)
		synctest.Wait()
		if !grown || entered {
			t.Error("the next one waits on, or one begins before")
		}
		a.keep(2 * mib)
		if r.first != nil {
			t.Error("one need not wait still, although nobody holds more than there is")
		}
		a.keep(0)
		synctest.Wait()
		if !entered || r.held != 0 {
			t.Errorf("the last one has begun: %t; %d bytes are held", entered, r.held)
		}
	})
}

// TestRoomOfAProcess holds what the functions' sizes leave.
func TestRoomOfAProcess(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]int64{1024: 302, 2048: 883, 512: 118, 128: 9} { // MiB
		if got := newRoom(size*mib/100*85).shared / mib; got != want {
			t.Errorf("a function of %d MiB shares %d, want %d", size, got, want)
		}
	}
}
