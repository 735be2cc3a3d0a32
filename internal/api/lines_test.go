package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// TestOneLine reads single requests' lines of the input file and of the results.
func TestOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *api.Deps, c *api.Config) { c.MaxAnswer = 150 })
	long := strings.Repeat("x", 100)
	id, file := w.running("a", "b", "c", "d", long)
	answer, failure := `{"custom_id":"a","response":{"status_code":200}}`+"\n", `{"custom_id":"b","error":{"code":"x"}}`+"\n"
	if err := w.files.Put(t.Context(), batch.SegmentKey(id, "s1"), []byte(answer+failure)); err != nil {
		t.Fatal(err)
	}
	at := func(offset, length int) state.Span {
		return state.Span{Object: "s1", Offset: int64(offset), Length: int64(length)}
	}
	w.apply(id, 1, func(r state.Request[state.Processing]) (state.Change, error) {
		return state.Complete(r, state.Result{StatusCode: 200, Answer: at(0, len(answer))}, w.clock()).Change()
	})
	w.apply(id, 2, func(r state.Request[state.Processing]) (state.Change, error) {
		return state.Fail(r, state.Failure{Reason: state.NonRetryableHTTPStatus{Status: 400}, Answer: at(len(answer), len(failure))}, w.clock()).Change()
	})
	w.fail(id, 3) // without a line of its own before the files are written
	b := w.stored(id)
	path := func(line int, what string) string {
		return "/v1/batches/" + id + "/requests/" + batch.RequestID(b.Key(line)) + "/" + what
	}

	for line, want := range map[int]string{1: answer, 2: failure} {
		r := w.get(path(line, "answer")).want(200)
		if got := r.Body.String(); got != want || r.Header().Get("X-Content-Type-Options") != "nosniff" || r.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("the answer of line %d is %q, %v", line, got, r.Header())
		}
	}
	w.get(path(3, "answer")).refused(404, "", "no_answer", "was not answered: its status is 'failed'")
	w.get(path(4, "answer")).refused(404, "", "no_answer", "has no answer yet: its status is 'pending'")
	if got := strings.TrimSuffix(w.get(path(2, "line")).want(200).Body.String(), "\n"); !strings.HasPrefix(got, `{"custom_id":"b","method":"POST"`) || !strings.HasSuffix(got, "}") {
		t.Errorf("the line is %q", got)
	}
	w.get(path(5, "line")).refused(413, "", "line_too_large_for_one_answer", "more than one answer can carry")
	for _, what := range []string{"line", "answer"} {
		w.get(path(9, what)).refused(404, "request_id", "", "No request with id")
		w.ask(ask{method: "GET", path: path(1, what), key: w.bob}).refused(404, "", "", "No batch found")
	}

	if err := w.files.DeleteAll(t.Context(), batch.SegmentsKey(id)); err != nil {
		t.Fatal(err)
	}
	w.get(path(1, "answer")).refused(410, "", "results_expired", "")
	if _, err := w.store.UpdateFile(t.Context(), "alice", file, func(f *batch.File) error {
		f.PinnedBy, f.ExpiresAt = nil, w.clock().Add(time.Hour)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	w.get(path(1, "line")).refused(410, "", "input_file_gone", file)
}

// TestPageIsForAnyone demands that the page's files need no key, under the prefix and without it, and that nothing else is told
// below them.
func TestPageIsForAnyone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/v1/ui/", "/ui/", "/v1/ui/app.js", "/openai/v1/ui/"} {
		w.ask(ask{method: "GET", path: path}).want(200)
	}
	if r := w.ask(ask{method: "GET", path: "/v1/ui"}).want(302); r.Header().Get("Location") != "ui/" {
		t.Errorf("without its slash it leads to %q", r.Header().Get("Location"))
	}
	w.ask(ask{method: "GET", path: "/v1/ui/none"}).refused(404, "", "unknown_url", "Invalid URL (GET /ui/none)")
	w.ask(ask{method: "POST", path: "/v1/ui/"}).refused(405, "", "method_not_allowed", "")
}
