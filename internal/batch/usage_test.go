package batch_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	limits := batch.Limits{Batches: 2, Requests: 100}
	var u batch.Usage
	take := func(id string, n int) error { return u.Take(id, n, limits) }
	if err := errors.Join(take("a", 60), take("a", 90), take("b", 40)); err != nil {
		t.Fatal(err)
	}
	var limit *batch.LimitError
	if err := take("c", 1); !errors.As(err, &limit) || *limit != (batch.LimitError{Of: "batches", Max: 2, Now: 2}) {
		t.Errorf("a third batch: %v", err)
	}
	u.Drop("b")
	if err := take("c", 41); !errors.As(err, &limit) || *limit != (batch.LimitError{Of: "requests", Max: 100, Now: 60, Asked: 41}) {
		t.Errorf("the 101st request: %v", err)
	}
	u.Count("a", 59)
	u.Count("b", 7)
	u.Drop("b")
	if err := take("c", 41); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]int{"a": 59, "c": 41}, u.Batches); diff != "" {
		t.Error(diff)
	}
}

func TestUsageWithoutLimits(t *testing.T) {
	t.Parallel()
	var u batch.Usage
	for i := range batch.MaxUsageBatches {
		if u.Batches == nil {
			u.Batches = map[string]int{}
		}
		u.Batches[fmt.Sprint(i)] = 1_000_000
	}
	var limit *batch.LimitError
	for _, limits := range []batch.Limits{{Requests: 1 << 40}, {Batches: 1 << 40}} {
		if err := u.Take("one more", 1, limits); !errors.As(err, &limit) || limit.Max != batch.MaxUsageBatches {
			t.Errorf("more batches than an item names: %v", err)
		}
	}
	u.Drop("0")
	if err := u.Take("one more", 1, batch.Limits{Batches: batch.MaxUsageBatches}); err != nil {
		t.Error(err)
	}
}

// TestMostRequests holds that no file has more requests than it says.
func TestMostRequests(t *testing.T) {
	t.Parallel()
	shortest := len(`{"custom_id":"a","method":"POST","url":"/","body":{}}`) + 1
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.IntRange(0, 2_000_000).Draw(t, "lines")
		size := int64(max(lines*shortest-1, 0)) // the last line may end without a newline
		if got := batch.MostRequests(size, 10_000_000); got < lines {
			t.Fatalf("%d bytes can have %d lines, not only %d", size, lines, got)
		}
		if got := batch.MostRequests(size, 1000); got > 1000 {
			t.Fatalf("%d is above the most of a batch", got)
		}
	})
}
