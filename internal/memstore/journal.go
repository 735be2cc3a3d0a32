package memstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
)

var (
	// errGap reports an entry that would leave a gap in a journal.
	errGap = errors.New("memstore: a journal has no gaps")
	// errNumbered reports an entry that has its number and is not closed.
	errNumbered = errors.New("memstore: an entry that has its number is a closed one")
)

// AppendJournal adds e to a batch's journal and returns its number. With e.N 0
// it comes after the last entry, or batch.ErrJournalClosed is returned if that
// one is closed. Otherwise e is Closed and becomes entry e.N, or batch.ErrExists is
// returned if there is another; the one before it must exist.
func (s *Store) AppendJournal(ctx context.Context, batchID string, e batch.Entry) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("memstore: append to journal: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.journals[batchID]
	last := len(all)
	switch {
	case e.N == 0 && last > 0 && all[last-1].Closed:
		return 0, fmt.Errorf("memstore: journal of %s: %w", batchID, batch.ErrJournalClosed)
	case e.N == 0:
		e.N = last + 1
	case e.N > 0 && !e.Closed:
		return 0, errNumbered
	case e.N <= last && all[e.N-1].Segment == e.Segment && all[e.N-1].Closed:
		return e.N, nil
	case e.N <= last:
		return 0, fmt.Errorf("memstore: entry %d of %s: %w", e.N, batchID, batch.ErrExists)
	case e.N > last+1:
		return 0, errGap
	}
	e.Spans = own(e.Spans)
	s.journals[batchID] = append(all, e)
	return e.N, nil
}

// Journal returns at most limit (at least 1) entries of a batch's journal whose
// number is above after, in their order.
func (s *Store) Journal(ctx context.Context, batchID string, after, limit int) ([]batch.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: journal: %w", err)
	}
	if limit < 1 {
		return nil, errPage
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.journals[batchID]
	from := min(max(after, 0), len(all))
	var page []batch.Entry
	for _, e := range all[from:min(from+limit, len(all))] {
		e.Spans = own(e.Spans)
		page = append(page, e)
	}
	return page, nil
}
