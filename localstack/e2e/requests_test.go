//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
)

// hanging is a custom_id that would be something else in a path.
const hanging = "hang/on, 50%25 é?#"

// A request is how one request of a batch stands.
type request struct {
	ID          string `json:"id"`
	CustomID    string `json:"custom_id"`
	Status      string `json:"status"`
	Attempts    int    `json:"attempts"`
	StatusCode  int    `json:"status_code"`
	LastFailure string `json:"last_failure"`
	StartedAt   int64  `json:"started_at"`
	FinishedAt  int64  `json:"finished_at"`
}

// call asks for a path that the SDKs do not know, and returns the status.
func call(ctx context.Context, t *testing.T, key, method, path string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, variable(t, "OPENAI_BASE_URL")+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+variable(t, key))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatalf("%s %s: status %d, %v", method, path, res.StatusCode, err)
	}
	return res.StatusCode
}

// listed returns all requests of a batch with a status, page by page.
func listed(ctx context.Context, t *testing.T, id, status string) []string {
	t.Helper()
	ids, after := []string{}, ""
	for {
		var page struct {
			Data    []request `json:"data"`
			LastID  string    `json:"last_id"`
			HasMore bool      `json:"has_more"`
		}
		path := fmt.Sprintf("/batches/%s/requests?limit=2&status=%s&after=%s", id, status, after)
		if code := call(ctx, t, "OPENAI_API_KEY", http.MethodGet, path, &page); code != http.StatusOK {
			t.Fatalf("%s: status %d", path, code)
		}
		for _, r := range page.Data {
			ids = append(ids, r.CustomID)
		}
		if !page.HasMore {
			return ids
		}
		after = page.LastID
	}
}

// find returns the request of a batch with a custom_id.
func find(ctx context.Context, t *testing.T, id, customID string) request {
	t.Helper()
	var list struct {
		Data []request `json:"data"`
	}
	path := "/batches/" + id + "/requests?custom_id=" + url.QueryEscape(customID)
	code := call(ctx, t, "OPENAI_API_KEY", http.MethodGet, path, &list)
	if code != http.StatusOK || len(list.Data) != 1 || list.Data[0].CustomID != customID {
		t.Fatalf("%s: status %d, %+v", path, code, list)
	}
	return list.Data[0]
}

// story returns how the request with a custom_id stands, asked for by its id.
func story(ctx context.Context, t *testing.T, id, customID string) request {
	t.Helper()
	var r request
	path := "/batches/" + id + "/requests/" + find(ctx, t, id, customID).ID
	if code := call(ctx, t, "OPENAI_API_KEY", http.MethodGet, path, &r); code != http.StatusOK || r.CustomID != customID {
		t.Fatalf("%s: status %d, %+v", path, code, r)
	}
	return r
}

// flying returns how many calls of a model the stand-in has in flight.
func flying(ctx context.Context, t *testing.T, model string) int {
	t.Helper()
	var stats struct {
		ByModel map[string]struct {
			InFlight int `json:"in_flight"`
		} `json:"by_model"`
	}
	standin(ctx, t, "/standin/stats", &stats)
	return stats.ByModel[model].InFlight
}

// until polls ok until it is true, and fails the test if that takes longer than
// within.
func until(ctx context.Context, t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("after %v it is still not so that %s", within, what)
		case <-ticks.C:
		}
	}
}

// stop stops the hanging request of a batch once it is called, and demands that
// the call is aborted within moments.
func stop(ctx context.Context, t *testing.T, id, model string) {
	t.Helper()
	until(ctx, t, patience, "the request is called", func() bool { return flying(ctx, t, model) == 1 })
	until(ctx, t, patience, "the request is in progress", func() bool {
		return slices.Equal(listed(ctx, t, id, "in_progress"), []string{hanging})
	})
	path := "/batches/" + id + "/requests/" + find(ctx, t, id, hanging).ID + "/cancel"
	var r request
	if code := call(ctx, t, "OPENAI_API_KEY_2", http.MethodPost, path, &r); code != http.StatusNotFound {
		t.Errorf("another tenant's cancel is answered with %d", code)
	}
	stopped := time.Now()
	for range 2 {
		if code := call(ctx, t, "OPENAI_API_KEY", http.MethodPost, path, &r); code != http.StatusOK || r.Status != "cancelled" {
			t.Fatalf("cancel: status %d, %+v", code, r)
		}
	}
	until(ctx, t, 5*time.Second, "the call is aborted", func() bool { return flying(ctx, t, model) == 0 })
	t.Logf("aborted after %v", time.Since(stopped))
}

// TestRequests looks at the requests of a running batch, stops one that hangs,
// and retries what was not completed, and nothing else.
func TestRequests(t *testing.T) {
	t.Parallel()
	c, m, ctx := newClient(t, "OPENAI_API_KEY"), marker(t), t.Context()
	model := fmt.Sprintf("standin-%d:hang", time.Now().UnixNano())
	file := upload(ctx, t, c, jsonl(t,
		chat("first", "standin", m), chat("bad", "standin:status=400", m), chat(hanging, model, m),
		chat("slow", "standin:latency=2s", m), chat("again", "standin:status=500x1", m),
	))
	b := create(ctx, t, c, file, "30m")
	stop(ctx, t, b.ID, model)
	b = await(ctx, t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != 3 || b.RequestCounts.Failed != 1 ||
		!strings.Contains(b.RequestCounts.RawJSON(), `"cancelled":1`) {
		t.Fatalf("batch ended %s", describe(b))
	}
	errs := results(ctx, t, c, b.ErrorFileID)
	if diff := cmp.Diff([]string{"bad", hanging}, customIDs(errs)); diff != "" || errorCode(errs[1]) != "batch_cancelled" {
		t.Fatalf("error file: %+v %s", errs, diff)
	}
	for status, want := range map[string][]string{
		"completed": {"first", "slow", "again"}, "failed": {"bad"}, "cancelled": {hanging}, "pending": {},
		"": {"first", "bad", hanging, "slow", "again"},
	} {
		if diff := cmp.Diff(want, listed(ctx, t, b.ID, status)); diff != "" {
			t.Errorf("status %q (-want +got):\n%s", status, diff)
		}
	}
	if r := story(ctx, t, b.ID, "bad"); r.StatusCode != http.StatusBadRequest || r.Attempts != 1 || r.LastFailure == "" || r.FinishedAt < r.StartedAt {
		t.Errorf("the failed request is %+v", r)
	}
	if r := story(ctx, t, b.ID, "again"); r.StatusCode != http.StatusOK || r.Attempts != 2 {
		t.Errorf("the retried request is %+v", r)
	}

	var again struct {
		ID      string `json:"id"`
		RetryOf string `json:"retry_of"`
	}
	if code := call(ctx, t, "OPENAI_API_KEY", http.MethodPost, "/batches/"+b.ID+"/retry", &again); code != http.StatusOK ||
		again.RetryOf != b.ID || again.ID == b.ID {
		t.Fatalf("retry: status %d, %+v", code, again)
	}
	stop(ctx, t, again.ID, model)
	second := await(ctx, t, c, again.ID, patience, ended)
	if second.Status != openai.BatchStatusCompleted || second.RequestCounts.Total != 2 || second.RequestCounts.Failed != 1 {
		t.Fatalf("the retry ended %s", describe(second))
	}
	if diff := cmp.Diff([]string{"bad", hanging}, customIDs(results(ctx, t, c, second.ErrorFileID))); diff != "" {
		t.Errorf("error file of the retry: %s", diff)
	}
	want := map[string]int{"first": 1, "slow": 1, "again": 2, "bad": 2, hanging: 2}
	if diff := cmp.Diff(want, calls(ctx, t, m)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	now, err := c.Batches.Get(ctx, b.ID)
	if err != nil || now.RawJSON() != b.RawJSON() {
		t.Errorf("the first batch changed from %s to %s (error %v)", b.RawJSON(), now.RawJSON(), err)
	}
}

// TestCustomIDsOfAnySort finds and stops requests whose custom_ids would be something else in a path, by way of the
// query, and demands that they are nothing in a path.
func TestCustomIDsOfAnySort(t *testing.T) {
	t.Parallel()
	c, m, ctx := newClient(t, "OPENAI_API_KEY"), marker(t), t.Context()
	names := []string{
		"..", ".", "/", "a/b", "../cancel", "%2F", "%", "50%25", "#", "a b", "a+b", "a&b=c", "a?b", "a;b", "a|{b}", "\\", "'\"<>",
		"😀", "é", strings.Repeat("ü", 128), "batch_req_1", "cancel",
	}
	model := fmt.Sprintf("standin-%d:hang", time.Now().UnixNano())
	lines := make([]any, len(names))
	for i, name := range names {
		lines[i] = chat(name, model, m)
	}
	b := create(ctx, t, c, upload(ctx, t, c, jsonl(t, lines...)), "30m")
	await(ctx, t, c, b.ID, patience, func(b *openai.Batch) bool { return b.Status == openai.BatchStatusInProgress })
	for _, name := range names {
		for _, segment := range []string{url.PathEscape(name), strings.ReplaceAll(url.PathEscape(name), ".", "%2E")} {
			path := "/batches/" + b.ID + "/requests/" + segment + "/cancel"
			if strings.Contains(path, "/../") {
				continue // what a client makes of that is the client's
			}
			if code := call(ctx, t, "OPENAI_API_KEY", http.MethodPost, path, new(any)); code != http.StatusNotFound {
				t.Errorf("POST %s is %d", path, code)
			}
		}
	}
	for i, name := range names {
		if r := find(ctx, t, b.ID, name); r.ID != fmt.Sprintf("batch_req_%s_%d", strings.TrimPrefix(b.ID, "batch_"), i+1) {
			t.Errorf("%q is %+v", name, r)
		}
		stopOne(ctx, t, b.ID, name)
	}
	b = await(ctx, t, c, b.ID, patience, ended)
	if diff := cmp.Diff(names, customIDs(results(ctx, t, c, b.ErrorFileID))); diff != "" || b.Status != openai.BatchStatusCompleted {
		t.Errorf("batch ended %s %s", describe(b), diff)
	}
}

// stopOne stops the request with a custom_id.
func stopOne(ctx context.Context, t *testing.T, id, customID string) {
	t.Helper()
	var r request
	path := "/batches/" + id + "/requests/" + find(ctx, t, id, customID).ID + "/cancel"
	code := call(ctx, t, "OPENAI_API_KEY", http.MethodPost, path, &r)
	if code != http.StatusOK || r.Status != "cancelled" || r.CustomID != customID {
		t.Errorf("%s: status %d, %+v", path, code, r)
	}
}
