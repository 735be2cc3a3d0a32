package execute

import (
	"sync"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// maxCells bounds the batches whose counts a process keeps. One that was
// dropped gets a new cell when it comes back; the old one stays as it is.
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

// add counts phases, which this process wrote, and returns the batch's cell.
// It reports whether there was anything to count; a nil phase is nothing.
func (c *cells) add(batchID string, phases []state.Phase) (batch.Cell, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	var counts batch.Counts
	for _, p := range phases {
		if p != nil {
			counts, changed = counts.Add(p), true
		}
	}
	if !changed {
		return batch.Cell{}, false
	}
	own, ok := c.cells[batchID]
	if !ok {
		c.evict()
		own = &cell{Cell: batch.Cell{ID: c.newID()}}
		c.cells[batchID] = own
	}
	c.turn++
	own.used, own.Counts = c.turn, own.Counts.Plus(counts)

	return own.Cell, true
}

// evict makes room for one more batch; c.mu is held.
func (c *cells) evict() {
	if len(c.cells) < maxCells {
		return
	}
	oldest := ""
	for id, own := range c.cells {
		if oldest == "" || own.used < c.cells[oldest].used {
			oldest = id
		}
	}
	delete(c.cells, oldest)
}
