package execute

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// receiving returns a receiver of so many places that may make eight receives at once.
func receiving(t *testing.T, places int) *receiver {
	t.Helper()
	g, _ := gateFor(t, time.Minute)
	return &receiver{
		kit: kit{ctx: t.Context(), clock: g.clock, uniform: func() float64 { return 0 }}, gate: g,
		places: newPlaces(g.clock, places), memory: newRoom(1 << 30), isolation: &isolation{}, lanes: receivesMost,
	}
}

// asks returns how many messages are asked for, receive by receive, until there is no
// more room or all is over.
func (r *receiver) asks() (all []int, over bool) {
	for {
		n, _, over := r.next()
		if n == 0 {
			return all, over
		}
		all = append(all, n)
	}
}

// TestReceivesFillThePlaces demands that as many messages are asked for as there are
// places, those included that are under way, and that few places wait for more.
func TestReceivesFillThePlaces(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		places, taken int
		want          []int
	}{
		"all are free":             {33, 0, []int{10, 10, 10, 3}},
		"fewer than a tenth are":   {33, 31, nil},
		"a tenth is":               {33, 30, []int{3}},
		"all are taken":            {33, 33, nil},
		"one place":                {1, 0, []int{1}},
		"ten of many":              {1_000, 990, []int{10}},
		"nine of many":             {1_000, 991, nil},
		"more than may be at once": {1_000, 0, []int{10, 10, 10, 10, 10, 10, 10, 10}},
	} {
		r := receiving(t, tc.places)
		for range tc.taken {
			r.places.take(&job{})
		}
		got, over := r.asks()
		if diff := cmp.Diff(tc.want, got); diff != "" || over {
			t.Errorf("%s: over %t, asked for (-want +got):\n%s", name, over, diff)
		}
	}
}

// TestReceivesEnd demands that a worker receives until its queue is empty and its calls are
// over, asks an empty one again after a rest, and one lane at a time.
func TestReceivesEnd(t *testing.T) {
	t.Parallel()
	r := receiving(t, 33)
	if got, over := r.asks(); len(got) != 4 || over {
		t.Fatalf("it asks for %v, and is over: %t", got, over)
	}
	held := &job{}
	r.places.take(held)
	for _, n := range []int{10, 10, 10, 3} {
		r.received(n, 0)
	}
	if n, rest, over := r.next(); n != 0 || over || rest != 1600*time.Millisecond {
		t.Errorf("after four empty receives it asks for %d after %v, over: %t", n, rest, over)
	}
	r.restTo = time.Time{}
	if got, over := r.asks(); len(got) != 1 || over {
		t.Errorf("then it asks for %v, and is over: %t", got, over)
	}
	r.received(10, 10)
	if got, over := r.asks(); len(got) != 2 || over {
		t.Errorf("after a full one it asks for %v, and is over: %t", got, over)
	}
	r.received(10, 7)
	r.received(10, 7)
	r.places.free(held)
	if got, over := r.asks(); len(got) != 2 || over {
		t.Errorf("with nothing in hand it asks for %v, and is over: %t", got, over)
	}
	r.received(10, 0)
	if _, _, over := r.next(); over {
		t.Error("it is over while a receive is under way")
	}
	r.received(10, 0)
	if _, _, over := r.next(); !over {
		t.Error("it goes on although its queue is empty")
	}
}

// TestTheWaitOfAReceive demands that only the first one does not wait.
func TestTheWaitOfAReceive(t *testing.T) {
	t.Parallel()
	r := receiving(t, 10)
	if first, second := r.wait(), r.wait(); first != 0 || second != receiveWait {
		t.Errorf("they wait %v and %v", first, second)
	}
}

// TestNewsWhileMemoryIsShort demands that each call that ends has a receiver look whose worker is short of memory.
func TestNewsWhileMemoryIsShort(t *testing.T) {
	t.Parallel()
	r := receiving(t, 33)
	jobs := []*job{{}, {}}
	for _, j := range jobs {
		r.places.take(j)
	}
	r.memory = &room{shared: callMemory, entering: []*waiter{{}}}
	if n, rest, over := r.next(); n > 0 || over || rest != dryRest {
		t.Errorf("short of memory it asks for %d, or rests for %v, over: %t", n, rest, over)
	}
	if r.places.free(jobs[0]); len(r.places.news) == 0 {
		t.Error("a call has ended, and nobody looks")
	}
}
