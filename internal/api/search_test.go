package api_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
)

// countedLists counts what lists read: calls for a page, batches in them, and files.
type countedLists struct {
	api.BatchStore
	api.FileStore

	pages, batches, files *atomic.Int64
}

func (c countedLists) Batches(ctx context.Context, tenant, after string, limit int) ([]batch.Batch, bool, error) {
	page, more, err := c.BatchStore.Batches(ctx, tenant, after, limit)
	c.pages.Add(1)
	c.batches.Add(int64(len(page)))
	return page, more, err
}

func (c countedLists) File(ctx context.Context, tenant, id string) (batch.File, error) {
	c.files.Add(1)
	return c.FileStore.File(ctx, tenant, id)
}

// crowd gives alice n batches: each tenth has failed, each hundredth has metadata, and each has one of ten files. It returns
// their ids, the newest first.
func (w *world) crowd(n int) []string {
	w.t.Helper()
	for i := range 10 {
		f := batch.File{Tenant: "alice", ID: fmt.Sprintf("file-%d", i), Name: fmt.Sprintf("Bücher_%d.jsonl", i), CreatedAt: w.clock()}
		if err := w.store.CreateFile(w.t.Context(), f); err != nil {
			w.t.Fatal(err)
		}
	}
	var ids []string
	for i := range n {
		id, err := batch.NewID(batch.PrefixBatch, w.clock().Add(time.Duration(i)*time.Second), strings.NewReader(fmt.Sprintf("%010d", i)))
		if err != nil {
			w.t.Fatal(err)
		}
		b := batch.Batch{
			Ref: batch.Ref{Tenant: "alice", ID: id}, InputFileID: fmt.Sprintf("file-%d", i/10%10), Status: batch.StatusValidating, Window: "24h",
			Endpoint: "/v1/chat/completions", CreatedAt: w.clock(), Deadline: w.clock().Add(24 * time.Hour),
		}
		if i%10 == 3 {
			b.Status, b.FailedAt = batch.StatusFailed, w.clock()
		}
		if i%100 == 7 {
			b.Metadata = map[string]string{"Team": fmt.Sprintf("Nightly %d", i)}
		}
		if err := w.store.CreateBatch(w.t.Context(), b); err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	slices.Reverse(ids)
	return ids
}

// TestBatchesAreFiltered walks a long list by each filter: no batch is missed or told twice, and no call reads more than it may.
func TestBatchesAreFiltered(t *testing.T) {
	t.Parallel()
	var pages, batches, files atomic.Int64
	w := newWorld(t, func(d *api.Deps, _ *api.Config) {
		counted := countedLists{BatchStore: d.Batches, FileStore: d.Files, pages: &pages, batches: &batches, files: &files}
		d.Batches, d.Files = counted, counted
	})
	const n = 1_000
	all := w.crowd(n)
	picked := func(pick func(i int) bool) (ids []string) {
		for at, id := range all {
			if pick(n - 1 - at) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	for query, want := range map[string][]string{
		"status=failed":                         picked(func(i int) bool { return i%10 == 3 }),
		"status=completed":                      nil,
		"search=nightly":                        picked(func(i int) bool { return i%100 == 7 }),
		"search=team":                           picked(func(i int) bool { return i%100 == 7 }),
		"search=NIGHTLY+107":                    picked(func(i int) bool { return i == 107 }),
		"search=" + url.QueryEscape("bÜCHER_4"): picked(func(i int) bool { return i/10%10 == 4 }),
		"search=b%C3%BCcher_4&status=failed":    picked(func(i int) bool { return i/10%10 == 4 && i%10 == 3 }),
		"search=" + all[500]:                    {all[500]},
		"search=%25":                            nil,
		"search=&status=":                       all,
	} {
		var got []string
		after, calls := "", 0
		for more := true; more; calls++ {
			pages.Store(0)
			batches.Store(0)
			files.Store(0)
			r := w.get("/v1/batches?limit=20&after=" + after + "&" + query).want(200)
			if pages.Load() > 4 || batches.Load() > 200 || files.Load() > 200 {
				t.Fatalf("%s: a call makes %d reads of %d batches and %d files", query, pages.Load(), batches.Load(), files.Load())
			}
			got = append(got, r.ids()...)
			if more = r.json["has_more"] == true; more {
				after = r.text("last_id")
			}
			if calls > n {
				t.Fatalf("%s: it has no end", query)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

func TestFiltersAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a")
	long := strings.Repeat("x", 257)
	w.get("/v1/batches?status=done").refused(400, "status", "invalid_value", "'completed'")
	w.get("/v1/batches?search="+long).refused(400, "search", "string_above_max_length", "at most 256 characters")
	w.get("/v1/batches?reason=http_400").refused(400, "reason", "unknown_parameter", "")
	requests := "/v1/batches/" + id + "/requests"
	w.get(requests+"?reason=other").refused(400, "reason", "invalid_value", "http_429")
	w.get(requests+"?search="+long).refused(400, "search", "string_above_max_length", "at most 256 characters")
}

func TestRequestsAreFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("Order-1", "order-2", "invoice-1", "ORDER-3", "<b>order</b>")
	w.complete(id, 1)
	w.fail(id, 2)
	w.fail(id, 3)
	path := "/v1/batches/" + id + "/requests?"
	for query, want := range map[string][]string{
		"search=order":                         {"Order-1", "order-2", "ORDER-3", "<b>order</b>"},
		"search=oRDER-":                        {"Order-1", "order-2", "ORDER-3"},
		"search=order&status=failed":           {"order-2"},
		"reason=http_400":                      {"order-2", "invoice-1"},
		"reason=http_400&search=voice":         {"invoice-1"},
		"reason=http_401":                      {},
		"reason=request_timeout":               {},
		"search=%3Cb%3E":                       {"<b>order</b>"},
		"search=order&limit=1":                 {"Order-1"},
		"custom_id=order-2&reason=http_400":    {"order-2"},
		"custom_id=order-2&reason=http_401":    {},
		"custom_id=order-2&search=invoice":     {},
		"search=&reason=&status=&custom_id=zz": {},
	} {
		if got := w.get(path + query).want(200).customIDs(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}
