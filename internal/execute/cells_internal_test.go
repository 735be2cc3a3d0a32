package execute

import (
	"slices"
	"strconv"
	"testing"
)

// TestCellsAreBounded has a process work for more batches than it keeps cells
// of: those that it has not used for longest are forgotten, and no other but
// one that lags.
func TestCellsAreBounded(t *testing.T) {
	t.Parallel()
	ids := 0
	c := newCells(func() string { ids++; return strconv.Itoa(ids) })
	use := func(i int) { c.claimID(strconv.Itoa(i)) }
	kept := func(lost ...int) {
		t.Helper()
		c.trim()
		for i := range maxCells {
			if _, ok := c.cells[strconv.Itoa(i)]; ok == slices.Contains(lost, i) {
				t.Errorf("the cell of batch %d is kept: %t", i, ok)
			}
		}
	}
	for i := range maxCells - 1 {
		use(i)
	}
	kept(maxCells - 1) // which was not used yet
	use(0)
	use(maxCells - 1)
	kept(1)
	c.lag("7")
	if !c.lags("7") || c.lags("8") {
		t.Error("7 lags, and 8 does not")
	}
	kept(1, 7)
	if c.lags("7") {
		t.Error("a new cell lags")
	}
}
