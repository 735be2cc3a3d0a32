package finalize

import (
	"testing"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
)

// TestJournalCountsLinesOnce adds entries that name lines twice, and lines that
// the batch does not have.
func TestJournalCountsLinesOnce(t *testing.T) {
	t.Parallel()
	const total = 64
	j := journal{batch: batch.Batch{Counts: batch.Counts{Total: total}}, lines: make([]bool, total+1)}
	add := func(n int, closed bool, lines ...int) {
		e := batch.Entry{N: n, Closed: closed}
		for _, line := range lines {
			e.Spans = append(e.Spans, batch.LineSpan{Line: line})
		}
		j.add(e)
	}
	add(1, false, 0, 1, 63)
	add(2, false, 63, total, total+1)
	if j.known != 3 || j.last != 2 || j.closed || j.after != 0 {
		t.Errorf("%d known, last %d, closed %t, after %d", j.known, j.last, j.closed, j.after)
	}
	add(3, true)
	add(4, true, 40)
	if j.known != 3 || j.last != 4 || !j.closed || j.after != 40 {
		t.Errorf("%d known, last %d, closed %t, after %d", j.known, j.last, j.closed, j.after)
	}
	for line := 1; line <= total; line++ {
		if want := line == 1 || line >= 63; j.lines[line] != want {
			t.Errorf("it has line %d: %t", line, !want)
		}
	}
}

// TestJournalIsReadByPages reads journals about as long as a page.
func TestJournalIsReadByPages(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, journalPage - 1, journalPage, journalPage + 1, 3 * journalPage} {
		store := memstore.NewStore()
		for range n {
			if _, err := store.AppendJournal(t.Context(), "b", batch.Entry{}); err != nil {
				t.Fatal(err)
			}
		}
		j := journal{turn: New(Deps{Journal: store}, Config{}).turn(), batch: batch.Batch{Ref: batch.Ref{ID: "b"}}}
		if err := j.read(t.Context()); err != nil || j.last != n {
			t.Errorf("of %d entries %d are read; %v", n, j.last, err)
		}
	}
}
