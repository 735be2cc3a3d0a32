package batch

import (
	"strconv"
	"strings"

	"github.com/musketry/musketry/internal/state"
)

// A Cell is one counter shard of a batch: one worker process's absolute counts
// of it. The process writes what it knows, and a recount what is true; stores
// keep the larger, component by component. Both only grow, so writing a cell
// twice, late or at the same time as another counts nothing twice.
type Cell struct {
	ID     string // without a '#'
	Counts Counts // Total is 0
}

// claimMark parts a claim id's cell from what makes it unique.
const claimMark = "#"

// ClaimID returns the id of a claim by a process that counts in cell. unique is
// in no other claim id of this cell.
func ClaimID(cell, unique string) string { return cell + claimMark + unique }

// strayCell counts what no claim names a cell for.
const strayCell = "stray"

// CellOf returns the id of the cell that counts the outcome of rec, which must
// be terminal and not given by the seal.
func CellOf(rec state.Record) string {
	if rec.Phase.Status() == state.StatusCanceled {
		return StoppedCell(rec.Spec.Key.Line).ID
	}
	if cell, _, ok := strings.Cut(rec.Guard().ClaimID, claimMark); ok {
		return cell
	}
	return strayCell
}

// StoppedCell returns the cell that counts the request of line, which its owner
// canceled. Its id follows from the line, so writing it again counts nothing twice.
func StoppedCell(line int) Cell {
	return Cell{ID: "line-" + strconv.Itoa(line), Counts: Counts{Canceled: 1}}
}

// Sum returns the sum of cells.
func Sum(cells []Cell) Counts {
	var sum Counts
	for _, c := range cells {
		sum = sum.Plus(c.Counts)
	}
	return sum
}
