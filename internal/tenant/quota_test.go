package tenant_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/tenant"
)

func TestQuota(t *testing.T) {
	t.Parallel()
	limits := tenant.Limits{Batches: 2, Requests: 100}
	var q tenant.Quota
	take := func(id string, n int) error { return q.AddBatch(id, n, limits) }
	if err := errors.Join(take("a", 60), take("a", 90), take("b", 40)); err != nil {
		t.Fatal(err)
	}
	var limit *tenant.LimitError
	if err := take("c", 1); !errors.As(err, &limit) || *limit != (tenant.LimitError{Of: "batches", Max: 2, Now: 2}) {
		t.Errorf("a third batch: %v", err)
	}
	q.RemoveBatch("b")
	if err := take("c", 41); !errors.As(err, &limit) || *limit != (tenant.LimitError{Of: "requests", Max: 100, Now: 60, Asked: 41}) {
		t.Errorf("the 101st request: %v", err)
	}
	q.SetRequests("a", 59)
	q.SetRequests("b", 7)
	q.RemoveBatch("b")
	if err := take("c", 41); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]int{"a": 59, "c": 41}, q.Batches); diff != "" {
		t.Error(diff)
	}
}

func TestQuotaWithoutLimits(t *testing.T) {
	t.Parallel()
	var q tenant.Quota
	for i := range tenant.MaxBatches {
		if q.Batches == nil {
			q.Batches = map[string]int{}
		}
		q.Batches[fmt.Sprint(i)] = 1_000_000
	}
	var limit *tenant.LimitError
	for _, limits := range []tenant.Limits{{Requests: 1 << 40}, {Batches: 1 << 40}} {
		if err := q.AddBatch("one more", 1, limits); !errors.As(err, &limit) || limit.Max != tenant.MaxBatches {
			t.Errorf("more batches than an item names: %v", err)
		}
	}
	q.RemoveBatch("0")
	if err := q.AddBatch("one more", 1, tenant.Limits{Batches: tenant.MaxBatches}); err != nil {
		t.Error(err)
	}
}
