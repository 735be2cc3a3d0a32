//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
)

// A page is an answer of a batch's results.
type page struct {
	lines    []result
	text     string
	cursor   string
	complete bool
}

// readResults reads finished lines after a cursor.
func readResults(ctx context.Context, t *testing.T, key, batchID, cursor string, limit int) (page, int) {
	t.Helper()
	address := fmt.Sprintf("%s/batches/%s/results?limit=%d&after=%s",
		variable(t, "OPENAI_BASE_URL"), batchID, limit, url.QueryEscape(cursor))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+variable(t, key))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	p := page{text: string(body), cursor: res.Header.Get("X-Next-Cursor"), complete: res.Header.Get("X-Complete") == "true"}
	if res.StatusCode != http.StatusOK {
		return p, res.StatusCode
	}
	for text := range strings.Lines(p.text) {
		var r result
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		p.lines = append(p.lines, r)
	}
	if len(p.lines) > limit || p.cursor == "" {
		t.Errorf("%d lines, want %d at most; cursor %q", len(p.lines), limit, p.cursor)
	}
	return p, res.StatusCode
}

// TestResultsBeforeTheEnd reads what is finished of a batch that has slow lines
// and is cancelled at last: quick lines come while it runs, late ones later, and
// all together each line of its files once.
func TestResultsBeforeTheEnd(t *testing.T) {
	t.Parallel()
	const key = "OPENAI_API_KEY"
	c, m := newClient(t, key), marker(t)
	var lines []any
	for i := range 40 {
		model := "standin"
		switch {
		case i%10 == 3:
			model = "standin:latency=6s"
		case i%10 == 5:
			model = "standin:status=400"
		case i == 38:
			model = "standin:size=300000"
		case i == 39:
			model = "standin:hang"
		}
		lines = append(lines, chat(fmt.Sprintf("id-%d", i), model, m))
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "30m")
	if _, status := readResults(t.Context(), t, "OPENAI_API_KEY_2", b.ID, "", 10); status != http.StatusNotFound {
		t.Errorf("another tenant got %d", status)
	}
	if _, status := readResults(t.Context(), t, key, b.ID, "nonsense", 10); status != http.StatusBadRequest {
		t.Errorf("a cursor of nobody got %d", status)
	}
	got, early := readToTheEnd(t, c, key, b.ID, len(lines)-1)
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusCancelled || early == 0 {
		t.Fatalf("batch ended %s; %d lines came before the first slow one", describe(b), early)
	}
	if b.Usage.InputTokens == 0 || b.Usage.TotalTokens != b.Usage.InputTokens+b.Usage.OutputTokens {
		t.Errorf("usage %s", b.Usage.RawJSON())
	}
	files := slices.Concat(results(t.Context(), t, c, b.OutputFileID), results(t.Context(), t, c, b.ErrorFileID))
	byID := func(x, y result) int { return strings.Compare(x.ID, y.ID) }
	slices.SortFunc(files, byID)
	slices.SortFunc(got, byID)
	if diff := cmp.Diff(files, got); diff != "" || len(got) != len(lines) {
		t.Errorf("%d lines of %d; files (-), results (+):\n%s", len(got), len(lines), diff)
	}
}

// readToTheEnd reads results until it is told that this was all. Once all but
// one line have come it cancels the batch. It returns the lines, and how many
// came before the first slow one.
func readToTheEnd(t *testing.T, c openai.Client, key, batchID string, most int) (all []result, early int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cursor, canceled, slow := "", false, false
	for {
		p, status := readResults(ctx, t, key, batchID, cursor, 7)
		if status != http.StatusOK {
			t.Fatalf("status %d: %.300s", status, p.text)
		}
		for _, r := range p.lines {
			slow = slow || strings.HasSuffix(r.CustomID, "3")
			if !slow {
				early++
			}
		}
		all, cursor = append(all, p.lines...), p.cursor
		if p.complete {
			return all, early
		}
		if len(all) >= most && !canceled {
			canceled = true
			if _, err := c.Batches.Cancel(ctx, batchID); err != nil {
				t.Fatal(err)
			}
		}
		if len(p.lines) == 0 {
			select {
			case <-ctx.Done():
				t.Fatalf("%d lines after %v", len(all), patience)
			case <-time.After(300 * time.Millisecond):
			}
		}
	}
}
