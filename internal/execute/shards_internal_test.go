package execute

import (
	"slices"
	"strconv"
	"testing"
)

// TestShardsAreBounded has a process work for more batches than it keeps shards
// of: those that it has not used for longest are forgotten, and no other but
// one that lags.
func TestShardsAreBounded(t *testing.T) {
	t.Parallel()
	ids := 0
	c := newShards(func() string { ids++; return strconv.Itoa(ids) })
	use := func(i int) { c.claimID(strconv.Itoa(i)) }
	kept := func(lost ...int) {
		t.Helper()
		c.trim()
		for i := range maxShards {
			if _, ok := c.byBatch[strconv.Itoa(i)]; ok == slices.Contains(lost, i) {
				t.Errorf("the shard of batch %d is kept: %t", i, ok)
			}
		}
	}
	for i := range maxShards - 1 {
		use(i)
	}
	kept(maxShards - 1) // which was not used yet
	use(0)
	use(maxShards - 1)
	kept(1)
	c.lag("7")
	if !c.lags("7") || c.lags("8") {
		t.Error("7 lags, and 8 does not")
	}
	kept(1, 7)
	if c.lags("7") {
		t.Error("a new shard lags")
	}
}
