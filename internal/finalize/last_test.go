package finalize_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/finalize"
)

// TestLastOfALongBatch loses the message of a batch's last line, of which all
// others were enqueued so long ago that requests are judged at each turn anyway.
func TestLastOfALongBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 25, 10)
		f := w.finalizer(nil)
		f.Config.MaxEnqueued = 24
		advance := func(want finalize.Next, sent ...int) {
			t.Helper()
			next, err := f.Advance(t.Context(), w.ref)
			if next != want || err != nil {
				t.Fatalf("next is %q, %v; want %q", next, err, want)
			}
			if diff := cmp.Diff(sent, w.drop()); diff != "" {
				t.Fatal(diff)
			}
		}
		lines := make([]int, 24)
		for i := range lines {
			lines[i] = i + 1
		}
		advance(finalize.NextLong, lines...)
		time.Sleep(5 * time.Minute)
		w.count("w1", w.call("w1", lines...)...)
		advance(finalize.NextMedium, 25)
		time.Sleep(finalize.MediumPark)
		advance(finalize.NextLong, 25)
	})
}

// TestWithheldIsNotAmongTheLast lets a worker die that was told to wait and could
// not write so: it has hidden the message for that long, which none may overtake
// (docs/architecture.md, Execute).
func TestWithheldIsNotAmongTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 21, 10)
		w.advance()
		w.drop()
		w.beat("w2")
		newLate(w, 1) // its worker beats once and no more
		lines := make([]int, 19)
		for i := range lines {
			lines[i] = i + 2
		}
		time.Sleep(time.Minute)
		w.count("w1", w.call("w1", lines...)...)
		if next := w.advance(); next != finalize.NextShort {
			t.Fatalf("next is %q", next)
		}
		time.Sleep(2 * finalize.ShortPark)
		w.advance()
		if diff := cmp.Diff([]int{21}, w.drop()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestLastRequestsAreCounted has all outcomes of a batch stored, and the last not
// counted: where its last requests are judged nothing waits, and the counts that
// stand still are doubted at once, not at the next tick.
func TestLastRequestsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, 10)
		w.advance()
		lines := make([]int, 20)
		for i := range lines {
			lines[i] = i + 1
		}
		time.Sleep(10 * time.Second)
		w.call("w1", lines...)
		w.count("w1", lines[:15]...)
		if next := w.advance(); next != finalize.NextMedium {
			t.Fatalf("next is %q", next)
		}
		time.Sleep(finalize.MediumPark)
		if next := w.advance(); next != finalize.NextEnd {
			t.Errorf("next is %q", next)
		}
	})
}
