package finalize_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/storetest"
)

// TestRestOfTheJournal ends a batch of which workers have recorded large answers
// and died before they entered them. What is entered for them goes by segments
// that are filled in the order of lines, whoever dies in between.
func TestRestOfTheJournal(t *testing.T) {
	t.Parallel()
	for at := range 4 { // the write of an entry that fails; 0: none
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprint(at, after), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 30, 300_000)
					w.advance()
					for _, line := range []int{4, 8, 16, 20, 24, 28} {
						w.count("w1", w.call("w1", line)...)
					}
					w.count("w1", w.call("w1", 5, 6)...) // these are entered
					w.cancel()
					f := w.finalizer(nil)
					f.Journal = storetest.FaultyStore{Store: w.store, Do: (&faults{at: at, after: after}).op}
					next, err := f.Advance(t.Context(), w.ref)
					if at > 0 {
						if !errors.Is(err, errCrash) {
							t.Fatalf("next is %q, %v", next, err)
						}
						next, err = f.Advance(t.Context(), w.ref)
					}
					if next != finalize.NextEnd || err != nil {
						t.Fatalf("next is %q, %v", next, err)
					}
					entries, err := w.store.Journal(t.Context(), w.ref.ID, 1, 100)
					w.must(err)
					got := map[string]int{} // the last line, by segment
					for _, e := range entries {
						for _, p := range e.Spans {
							got[e.Segment] = p.Line
						}
					}
					if diff := cmp.Diff(map[string]int{"rest-0": 20, "rest-20": 30}, got); diff != "" {
						t.Errorf("entries (-want +got):\n%s", diff)
					}
					output, errs := w.results()
					w.check(batch.StatusCanceled, output, errs)
				})
			})
		}
	}
}

// TestWholeJournalCostsNoWalk ends a batch whose lines were all entered: its
// requests are read for the recount and for the output, and that is all.
func TestWholeJournalCostsNoWalk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		w.advance()
		w.work()
		f := w.finalizer(nil)
		walks := &walks{port: f.Requests}
		f.Requests = walks
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
			t.Fatalf("next is %q, %v", next, err)
		}
		if walks.n != 2 {
			t.Errorf("the requests were read %d times", walks.n)
		}
	})
}
