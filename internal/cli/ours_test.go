package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ours adds what Musketry's API has beside OpenAI's.
func (s *server) ours(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/usage", s.usage)
	mux.HandleFunc("GET /v1/batches/{id}/results", s.results)
	mux.HandleFunc("GET /v1/batches/{id}/progress", s.progress)
	mux.HandleFunc("GET /v1/batches/{id}/requests", s.listRequests)
	mux.HandleFunc("GET /v1/batches/{id}/requests/{request}", s.getRequest)
	mux.HandleFunc("POST /v1/batches/{id}/retry", s.retryBatch)
}

func (s *server) usage(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, s.limits)
}

// limited returns limits, of which those that are named differ.
func limited(change map[string]any) map[string]any {
	limits := map[string]any{
		"batches": 100, "requests": 2_000_000, "stored_bytes": nil, "open_uploads": 1_000, "creates_per_minute": 600,
		"file_bytes": 500_000_000, "line_bytes": 1_000_000, "lines": 50_000,
	}
	for name, value := range change {
		limits[name] = value
	}
	return map[string]any{
		"object": "usage", "tenant": "acme", "limits": limits,
		"key":    map[string]any{"name": "ci", "read_only": false, "expires_at": nil, "created_at": 946684800},
		"in_use": map[string]any{"batches": 3, "requests": 1200, "stored_bytes": 2_500_000, "open_uploads": 2},
	}
}

func (b *serverBatch) done() int {
	return min(int(time.Since(b.created).Seconds()*b.run.perSecond), b.run.total)
}

func (b *serverBatch) fails(line int) bool { return b.run.failEvery > 0 && line%b.run.failEvery == 0 }

func (b *serverBatch) requestID(line int) string {
	return fmt.Sprintf("batch_req_%s_%d", strings.TrimPrefix(b.id, "batch_"), line)
}

// resultLine returns a finished line, padded to a length.
func (b *serverBatch) resultLine(line, length int) []byte {
	head := fmt.Sprintf(`{"id":%q,"custom_id":"r%d","response":`, b.requestID(line), line-1)
	if b.fails(line) {
		return []byte(head + `{"status_code":429,"request_id":"","body":{"error":{"message":"Slow down."}}},"error":null}` + "\n")
	}
	text := strings.Repeat("x", length)
	return []byte(head + `{"status_code":200,"request_id":"","body":{"text":"` + text + `"}},"error":null}` + "\n")
}

func (s *server) results(w http.ResponseWriter, r *http.Request) {
	b := s.find(w, r.PathValue("id"))
	if b == nil {
		return
	}
	after := 0
	if text := r.URL.Query().Get("after"); text != "" {
		after, _ = strconv.Atoi(strings.TrimPrefix(text, "c"))
	}
	status := b.object()["status"].(string)
	done := b.done()
	end := min(done, after+s.pageLines)
	var body []byte
	for line := after + 1; line <= end; line++ {
		body = append(body, b.resultLine(line, 3)...)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Next-Cursor", fmt.Sprintf("c%d", end))
	w.Header().Set("X-Complete", strconv.FormatBool(end == done && slices.Contains([]string{"completed", "expired", "cancelled"}, status)))
	_, _ = w.Write(body)
}

func (s *server) progress(w http.ResponseWriter, r *http.Request) {
	b := s.find(w, r.PathValue("id"))
	if b == nil {
		return
	}
	failed := 0
	if b.run.failEvery > 0 {
		failed = b.done() / b.run.failEvery
	}
	failures := []any{}
	if failed > 0 {
		failures = append(failures, map[string]any{"reason": "http_429", "requests": failed})
	}
	now := time.Now().Unix()
	answer(w, map[string]any{
		"object": "batch.progress", "batch_id": b.id, "failures": failures, "final": false,
		"samples": []any{
			map[string]any{"at": now - 5, "retrying": b.run.retrying},
			map[string]any{"at": now, "retrying": nil},
		},
	})
}

func (b *serverBatch) request(line int) map[string]any {
	o := map[string]any{
		"id": b.requestID(line), "object": "batch.request", "batch_id": b.id, "custom_id": fmt.Sprintf("r%d", line-1), "line": line,
		"status": "pending", "reason": nil, "attempts": 0, "reclaims": 0, "last_failure": nil, "failure_kind": nil, "retry_denied": nil,
		"status_code": nil, "model": nil, "created_at": b.created.Unix(), "next_try_at": nil, "claimed_at": nil, "started_at": nil,
		"finished_at": nil,
	}
	switch done := b.done(); {
	case line == b.run.total && line > done: // waits for its second attempt
		o["attempts"], o["last_failure"], o["next_try_at"] = 1, "HTTP 503", time.Now().Unix()+30
	case line > done:
	case b.fails(line):
		o["status"], o["reason"], o["attempts"], o["reclaims"] = "failed", "http_429", 5, 1
		o["last_failure"], o["failure_kind"], o["retry_denied"], o["status_code"] = "HTTP 429", "retryable_http_status", "max_retries", 429
	default:
		o["status"], o["attempts"], o["status_code"], o["model"] = "completed", 1, 200, "m-\x1b[2J"
	}
	if line <= b.done() {
		o["started_at"], o["finished_at"] = b.created.Unix()+1, b.created.Unix()+2
	}
	return o
}

func (s *server) listRequests(w http.ResponseWriter, r *http.Request) {
	b := s.find(w, r.PathValue("id"))
	if b == nil {
		return
	}
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	for _, name := range []string{"search", "reason"} {
		if s.old && q.Has(name) {
			failParam(w, name, "unknown_parameter", "Unknown parameter: '"+name+"'.")
			return
		}
	}
	if len(q.Get("search")) > 256 {
		failParam(w, "search", "string_above_max_length", "Invalid 'search': expected at most 256 characters.")
		return
	}
	if q.Get("custom_id") != "" {
		limit, err = b.run.total, nil
	}
	if err != nil || limit < 1 || limit > 100 && q.Get("custom_id") == "" {
		fail(w, http.StatusBadRequest, "limit")
		return
	}
	after := 0
	if text := q.Get("after"); text != "" {
		after, _ = strconv.Atoi(text[strings.LastIndex(text, "_")+1:])
	}
	data, last := []any{}, after
	for line := after + 1; line <= b.run.total && len(data) < limit && (line <= after+200 || q.Get("custom_id") != ""); line++ {
		last = line
		o := b.request(line)
		if (q.Get("status") == "" || q.Get("status") == o["status"]) && (q.Get("custom_id") == "" || q.Get("custom_id") == o["custom_id"]) &&
			(q.Get("reason") == "" || q.Get("reason") == o["reason"]) &&
			strings.Contains(o["custom_id"].(string), strings.ToLower(q.Get("search"))) {
			if s.old {
				delete(o, "reason")
			}
			data = append(data, o)
		}
	}
	answer(w, map[string]any{"object": "list", "data": data, "last_id": b.requestID(last), "has_more": last < b.run.total})
}

func (s *server) getRequest(w http.ResponseWriter, r *http.Request) {
	b := s.find(w, r.PathValue("id"))
	if b == nil {
		return
	}
	id := r.PathValue("request")
	line, err := strconv.Atoi(id[strings.LastIndex(id, "_")+1:])
	if err != nil || line < 1 || line > b.run.total || id != b.requestID(line) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
			"message": "No request with id '" + id + "' in batch '" + b.id + "'.", "param": "request_id",
		}})
		return
	}
	answer(w, b.request(line))
}

func (s *server) retryBatch(w http.ResponseWriter, r *http.Request) {
	b := s.find(w, r.PathValue("id"))
	if b == nil {
		return
	}
	var in struct {
		CompletionWindow string            `json:"completion_window"`
		Metadata         map[string]string `json:"metadata"`
	}
	if r.ContentLength != 0 && json.NewDecoder(r.Body).Decode(&in) != nil {
		fail(w, http.StatusBadRequest, "bad retry")
		return
	}
	if status := b.object()["status"]; status == "in_progress" || status == "validating" {
		w.Header().Set("X-Should-Retry", "false")
		fail(w, http.StatusConflict, fmt.Sprintf("Cannot retry a batch with status '%s'.", status))
		return
	}
	s.mu.Lock()
	made := &serverBatch{
		id: s.id("batch_"), created: time.Now(), run: s.run, endpoint: b.endpoint, window: b.window, metadata: b.metadata, inputFile: b.inputFile,
	}
	if in.CompletionWindow != "" {
		made.window = in.CompletionWindow
	}
	if in.Metadata != nil {
		made.metadata = in.Metadata
	}
	s.batches = append(s.batches, made)
	s.files["file-out-"+made.id], s.files["file-err-"+made.id] = made.run.output, made.run.failures
	s.mu.Unlock()
	answer(w, made.object())
}

func (s *server) listFiles(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.names {
		if _, ok := s.files[id]; ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	if after := r.URL.Query().Get("after"); after != "" {
		ids = ids[slices.Index(ids, after)+1:]
	}
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		fail(w, http.StatusBadRequest, "limit")
		return
	}
	data := []any{}
	for _, id := range ids[:min(limit, len(ids))] {
		if p := r.URL.Query().Get("purpose"); p == "" || p == "batch" {
			data = append(data, fileObject(id, s.names[id], len(s.files[id])))
		}
	}
	answer(w, map[string]any{"object": "list", "data": data, "has_more": len(ids) > limit})
}

func (s *server) deleteFile(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.PathValue("id")
	if _, ok := s.files[id]; !ok {
		fail(w, http.StatusNotFound, "No such File object: "+id)
		return
	}
	delete(s.files, id)
	answer(w, map[string]any{"id": id, "object": "file", "deleted": true})
}
