package finalize_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/state"
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

// TestFullSegmentOfTheJournal has lines to enter that fill a segment to the byte.
func TestFullSegmentOfTheJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8, 0)
		w.size = 1<<20 - len(w.answerLine(state.Key{Line: 8}, 200))
		w.advance()
		for _, lines := range [][]int{{1, 2, 3}, {4}, {5, 6, 7}, {8}} { // 4 and 8 are not entered
			w.count("w1", w.call("w1", lines...)...)
		}
		w.advance()
		entries, err := w.store.Journal(t.Context(), w.ref.ID, 0, 100)
		w.must(err)
		got := map[string]int64{}
		for _, e := range entries {
			if strings.HasPrefix(e.Segment, "rest-") {
				got[e.Segment] = e.Spans[0].Length
			}
		}
		b := w.batch()
		want := map[string]int64{"rest-0": 1 << 20, "rest-4": int64(len(w.wantLine(b.Key(5)))) + 1<<20} // 5 has no answer
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("segments (-want +got):\n%s", diff)
		}
	})
}

// TestWholeJournalCostsNoWalk ends a batch whose lines were all entered: its
// requests are read for the recount and for the output, in however many parts
// that is, and that is all.
func TestWholeJournalCostsNoWalk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		w.advance()
		w.work()
		f := w.finalizer(nil)
		b := w.batch()
		f.Config.Part = int64(len(w.wantLine(b.Key(1)))) // each line fills one
		f.Uploads = &tinyParts{Files: w.files, parts: map[string]map[int][]byte{}}
		walks := &walks{port: f.Requests}
		f.Requests = walks
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
			t.Fatalf("next is %q, %v", next, err)
		}
		if walks.n != 2 {
			t.Errorf("the requests were read %d times", walks.n)
		}
		if m := w.batch().WriteOut.Output; len(m.Parts) != 2 || m.Lines != 2 {
			t.Errorf("the output has %d lines in %d parts", m.Lines, len(m.Parts))
		}
	})
}
