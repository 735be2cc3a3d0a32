package execute

import (
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

	used uint64 // the turn of its last use
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

// trim forgets the cells that were not used for longest. No request may be
// claimed under them any more: their outcomes would be counted in another.
func (c *cells) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
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
