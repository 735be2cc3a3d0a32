//go:build e2e

package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHistoryAndLink runs a batch of which some requests fail, and reads from the outside what a status page does: how it went,
// why requests failed, which, and its results by a link that needs no key.
func TestHistoryAndLink(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	var lines []any
	for i := range 30 {
		model := "standin"
		if i%3 == 0 {
			model = "standin:status=400"
		}
		lines = append(lines, chat(fmt.Sprintf("Order-%02d", i), model, m))
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.RequestCounts.Completed != 20 || b.RequestCounts.Failed != 10 {
		t.Fatalf("batch ended %s", describe(b))
	}
	get := func(path string, into any) {
		t.Helper()
		if code := call(t.Context(), t, "OPENAI_API_KEY", http.MethodGet, path, into); code != http.StatusOK {
			t.Fatalf("%s: status %d: %+v", path, code, into)
		}
	}
	var progress struct {
		Samples []struct {
			At, Completed, Failed int64
			Retrying              *int64
		}
		Failures []struct {
			Reason   string
			Requests int
		}
		Final bool
	}
	get("/batches/"+b.ID+"/progress", &progress)
	first, last := progress.Samples[0], progress.Samples[len(progress.Samples)-1]
	if !progress.Final || first.Completed != 0 || last.Completed != 20 || last.Failed != 10 || first.At > last.At {
		t.Errorf("progress is %+v", progress)
	}
	if diff := cmp.Diff("[{http_400 10}]", fmt.Sprint(progress.Failures)); diff != "" {
		t.Error(diff)
	}
	var page struct {
		Data []request
	}
	get("/batches/"+b.ID+"/requests?reason=http_400&search=order-0", &page)
	if len(page.Data) != 4 || page.Data[0].CustomID != "Order-00" {
		t.Errorf("found %+v", page.Data)
	}
	var batches struct {
		Data []struct{ ID string }
	}
	get("/batches?status=completed&search="+url.QueryEscape(strings.ToUpper(b.ID)), &batches)
	if len(batches.Data) != 1 || batches.Data[0].ID != b.ID {
		t.Errorf("found %+v", batches.Data)
	}
	linked(t, b.OutputFileID, 20)
}

// linked demands that a file's link has as many lines as wanted, for whoever has it and to save.
func linked(t *testing.T, file string, want int) {
	t.Helper()
	var link struct {
		URL       string `json:"url"`
		ExpiresAt int64  `json:"expires_at"`
	}
	if code := call(t.Context(), t, "OPENAI_API_KEY", http.MethodPost, "/files/"+file+"/link", &link); code != http.StatusOK {
		t.Fatalf("the link is refused: %d", code)
	}
	if life := time.Until(time.Unix(link.ExpiresAt, 0)); life > time.Minute || life < 0 {
		t.Errorf("it lives for %v", life)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || strings.Count(string(body), "\n") != want {
		t.Errorf("status %d, %d lines, %v", res.StatusCode, strings.Count(string(body), "\n"), err)
	}
	if kind, name := res.Header.Get("Content-Type"), res.Header.Get("Content-Disposition"); kind != "application/jsonl" || !strings.HasPrefix(name, "attachment; filename=") {
		t.Errorf("it is %q, %q", kind, name)
	}
	var refusal map[string]any
	if code := call(t.Context(), t, "OPENAI_API_KEY_2", http.MethodPost, "/files/"+file+"/link", &refusal); code != http.StatusNotFound {
		t.Errorf("another tenant gets %d", code)
	}
}
