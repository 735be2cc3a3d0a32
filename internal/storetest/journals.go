package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

func journalTrials() []trial[Store] {
	return []trial[Store]{
		{"Journal/entries in their order", journalOrder},
		{"Journal/many at once, none lost, no gaps", journalRace},
		{"Journal/closed", journalClosed},
		{"Journal/an entry with a number", journalNumbered},
		{"Journal/an entry of no spans", journalEmpty},
		{"Journal/keeps batches apart", journalApart},
		{"Journal/canceled context", journalCanceled},
	}
}

// entry returns an entry of spans that nobody else has.
func entry(lines ...int) batch.Entry {
	e := batch.Entry{Segment: unique("segment-")}
	for i, line := range lines {
		e.Spans = append(e.Spans, batch.LineSpan{Line: line, Offset: int64(1000 * i), Length: int64(900 + line)})
	}
	return e
}

// enter appends e and ends the test unless it becomes number n.
func enter(t *testing.T, s Store, batchID string, e batch.Entry, n int) batch.Entry {
	t.Helper()
	got, err := s.AppendJournal(t.Context(), batchID, e)
	ok(t, err)
	same(t, "number", got, n)
	e.N = n
	return e
}

// wantJournal ends the test unless the entries after after are exactly want.
func wantJournal(t *testing.T, s Store, batchID string, after, limit int, want ...batch.Entry) {
	t.Helper()
	got, err := s.Journal(t.Context(), batchID, after, limit)
	ok(t, err)
	same(t, "entries", got, want)
}

func journalOrder(t *testing.T, s Store) {
	batchID := unique("batch_")
	wantJournal(t, s, batchID, 0, 10)
	var all []batch.Entry
	for i := range 12 {
		e := entry(100-i, 3, 1_000_000*i+1)
		if i == 7 {
			e.Spans = []batch.LineSpan{{Line: math.MaxInt32, Offset: 1 << 40, Length: 1 << 33}, {Line: 1, Length: 1}}
		}
		all = append(all, enter(t, s, batchID, e, i+1))
	}
	wantJournal(t, s, batchID, 0, 100, all...)
	wantJournal(t, s, batchID, -1, 100, all...)
	wantJournal(t, s, batchID, 0, 3, all[:3]...)
	wantJournal(t, s, batchID, 9, 2, all[9:11]...)
	wantJournal(t, s, batchID, 10, 2, all[10:]...)
	wantJournal(t, s, batchID, 12, 2)
	wantJournal(t, s, batchID, 99, 2)
	if _, err := s.Journal(t.Context(), batchID, 0, 0); err == nil {
		t.Fatal("a page of nothing is no error")
	}
}

func journalRace(t *testing.T, s Store) {
	batchID := unique("batch_")
	entries := make([]batch.Entry, racers)
	ok(t, errors.Join(atOnce(racers, func(i int) error {
		entries[i] = entry(i + 1)
		n, err := s.AppendJournal(t.Context(), batchID, entries[i])
		entries[i].N = n
		return err
	})...))
	slices.SortFunc(entries, func(a, b batch.Entry) int { return a.N - b.N })
	for i, e := range entries {
		same(t, fmt.Sprintf("number of the entry in place %d", i+1), e.N, i+1)
	}
	wantJournal(t, s, batchID, 0, 100, entries...)
}

func journalClosed(t *testing.T, s Store) {
	batchID := unique("batch_")
	first := enter(t, s, batchID, entry(1), 1)
	last := enter(t, s, batchID, batch.Entry{Closed: true}, 2)
	for _, e := range []batch.Entry{entry(2), {Closed: true}, first} {
		e.N = 0
		_, err := s.AppendJournal(t.Context(), batchID, e)
		wantErr(t, err, batch.ErrJournalClosed)
	}
	rest := entry(9)
	rest.N, rest.Closed = 3, true
	rest = enter(t, s, batchID, rest, 3)
	_, err := s.AppendJournal(t.Context(), batchID, entry(2))
	wantErr(t, err, batch.ErrJournalClosed)
	wantJournal(t, s, batchID, 0, 100, first, last, rest)
}

func journalNumbered(t *testing.T, s Store) {
	batchID := unique("batch_")
	e := entry(5, 6)
	e.N = 1
	_, err := s.AppendJournal(t.Context(), batchID, e)
	if err == nil {
		t.Fatal("an entry that comes before the closing one has its number")
	}
	e.Closed = true
	enter(t, s, batchID, e, 1)
	enter(t, s, batchID, e, 1) // its own, seen again
	_, err = s.AppendJournal(t.Context(), batchID, entry(8))
	wantErr(t, err, batch.ErrJournalClosed)
	_, err = s.AppendJournal(t.Context(), batchID, batch.Entry{Closed: true})
	wantErr(t, err, batch.ErrJournalClosed)
	other := entry(7)
	other.N, other.Closed = 1, true
	_, err = s.AppendJournal(t.Context(), batchID, other)
	wantErr(t, err, batch.ErrExists)
	other.N = 2
	enter(t, s, batchID, other, 2)
	wantJournal(t, s, batchID, 0, 100, e, other)
}

func journalEmpty(t *testing.T, s Store) {
	batchID := unique("batch_")
	e := batch.Entry{Segment: unique("segment-"), Spans: []batch.LineSpan{}}
	enter(t, s, batchID, e, 1)
	e.N, e.Spans = 1, nil
	wantJournal(t, s, batchID, 0, 10, e)
}

func journalApart(t *testing.T, s Store) {
	batchID := unique("batch_")
	mine := enter(t, s, batchID, entry(1), 1)
	other := enter(t, s, batchID+"1", entry(2), 1)
	wantJournal(t, s, batchID, 0, 100, mine)
	wantJournal(t, s, batchID+"1", 0, 100, other)
}

func journalCanceled(t *testing.T, s Store) {
	batchID := unique("batch_")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.AppendJournal(ctx, batchID, entry(1))
	wantErr(t, err, context.Canceled)
	_, err = s.Journal(ctx, batchID, 0, 1)
	wantErr(t, err, context.Canceled)
	wantJournal(t, s, batchID, 0, 1)
}
