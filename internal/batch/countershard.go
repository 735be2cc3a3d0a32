package batch

import (
	"strconv"
	"strings"

	"github.com/musketry/musketry/internal/state"
)

// A CounterShard is one worker process's absolute counts of a batch. The process
// writes what it knows, and a recount what is true; stores keep the larger,
// component by component. Both only grow, so writing a shard twice, late or at
// the same time as another counts nothing twice.
type CounterShard struct {
	ID     string // without a '#'
	Counts Counts // Total is 0
}

// claimMark parts a claim id's counter shard from what makes it unique.
const claimMark = "#"

// ClaimID returns the id of a claim by a process that counts in shard. unique is
// in no other claim id of this shard.
func ClaimID(shard, unique string) string { return shard + claimMark + unique }

// strayShard counts what no claim names a counter shard for.
const strayShard = "stray"

// CounterShardOf returns the id of the counter shard that counts the outcome of
// rec, which must be terminal and not given by the seal.
func CounterShardOf(rec state.Record) string {
	if rec.Phase.Status() == state.StatusCanceled {
		return CanceledLineShard(rec.Spec.Key.Line).ID
	}
	if shard, _, ok := strings.Cut(rec.Guard().ClaimID, claimMark); ok {
		return shard
	}
	return strayShard
}

// CanceledLineShard returns the counter shard that counts the request of line,
// which its owner canceled. Its id follows from the line, so writing it again
// counts nothing twice.
func CanceledLineShard(line int) CounterShard {
	return CounterShard{ID: "line-" + strconv.Itoa(line), Counts: Counts{Canceled: 1}}
}

// Sum returns the sum of shards.
func Sum(shards []CounterShard) Counts {
	var sum Counts
	for _, c := range shards {
		sum = sum.Plus(c.Counts)
	}
	return sum
}
