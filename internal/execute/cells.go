package execute

import (
	"maps"
	"sync"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// maxCells bounds the batches whose counts a process keeps from one run to the
// next. One that was dropped gets a new cell when it comes back; the old one
// stays as it is.
const maxCells = 512

// cells are a process's absolute counts of each batch that it works for.
type cells struct {
	newID func() string

	mu    sync.Mutex
	turn  uint64
	cells map[string]*cell // by batch
}

type cell struct {
	batch.Cell

	used    uint64 // the turn of its last use
	lagging bool   // it may lack outcomes whose claim ids name it
}

func newCells(newID func() string) *cells {
	return &cells{newID: newID, cells: make(map[string]*cell)}
}

// claimID returns a new claim id for a request of batchID. It names the cell
// that will count the outcome, so that a recount knows whose it is.
func (c *cells) claimID(batchID string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return batch.ClaimID(c.of(batchID).ID, c.newID())
}

// of returns the batch's cell; c.mu is held.
func (c *cells) of(batchID string) *cell {
	own, ok := c.cells[batchID]
	if !ok {
		own = &cell{Cell: batch.Cell{ID: c.newID()}}
		c.cells[batchID] = own
	}
	c.turn++
	own.used = c.turn
	return own
}

// add counts phases, which this process wrote, and returns the batch's cell. It
// reports whether there was anything to count; a nil phase is nothing.
func (c *cells) add(batchID string, phases []state.Phase) (own batch.Cell, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var counts batch.Counts
	for _, p := range phases {
		if p != nil {
			counts, changed = counts.Add(p), true
		}
	}
	if !changed {
		return batch.Cell{}, false
	}
	kept := c.of(batchID)
	kept.Counts = kept.Counts.Plus(counts)
	return kept.Cell, true
}

// lag says that an outcome of batchID may be stored that is not counted here:
// nobody knows what became of its write. A recount puts the stored cell right,
// but what is counted here is behind it from then on.
func (c *cells) lag(batchID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(batchID).lagging = true
}

// lags reports whether batchID's cell may lack outcomes.
func (c *cells) lags(batchID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of(batchID).lagging
}

// trim forgets the cells that lag and, of too many, those that were not used for
// longest. No request may be claimed under them any more: their outcomes would
// be counted in another.
func (c *cells) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.cells, func(_ string, own *cell) bool { return own.lagging })
	for len(c.cells) >= maxCells {
		oldest := ""
		for id, own := range c.cells {
			if oldest == "" || own.used < c.cells[oldest].used {
				oldest = id
			}
		}
		delete(c.cells, oldest)
	}
}
