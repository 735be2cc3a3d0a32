package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const testKey = "sk-test-do-not-show"

// lambdaLimit is what one answer of the real server can hold at most.
const lambdaLimit = 4 << 20

// A batchRun says how a batch of the server comes along in time.
type batchRun struct {
	total     int
	perSecond float64
	failEvery int // every so many requests fail; 0: none
	end       string
	errors    []map[string]any // for a batch that fails
	waiting   []map[string]any // what it waits for, for the first minute
	retrying  any              // how many requests are tried again
	endAfter  time.Duration    // for a batch that fails or expires
	output    []byte
	failures  []byte
}

type serverBatch struct {
	id        string
	created   time.Time
	canceled  time.Time
	run       batchRun
	endpoint  string
	window    string
	metadata  map[string]string
	inputFile string
}

// A server speaks the shapes of the Files, Uploads and Batches API over
// in-memory connections, so that tests may run in a bubble of their own time.
type server struct {
	t   *testing.T
	run batchRun
	// intercept, if set, may answer a request itself and then returns true.
	intercept func(w http.ResponseWriter, r *http.Request, nth int) bool
	noRanges  bool
	// foreign, if set, has the server know OpenAI's routes only.
	foreign   bool
	old       bool           // it knows no search, no reasons of requests and no filters of batches
	looks     int            // at how many batches a call with a filter looks
	limits    map[string]any // of usage
	slowParts time.Duration  // how long a part takes
	mostParts int            // on their way at once
	parts     int
	pageLines int // most lines of an answer with results

	mu       sync.Mutex
	files    map[string][]byte
	names    map[string]string
	uploads  map[string]map[string][]byte
	sizes    map[string]int64
	batches  []*serverBatch
	calls    []string
	callTime []time.Time
	headers  []http.Header
	seen     map[string]int
	next     int
}

func newServer(t *testing.T) *server {
	t.Helper()
	return &server{
		t: t, files: map[string][]byte{}, names: map[string]string{}, uploads: map[string]map[string][]byte{},
		sizes: map[string]int64{}, seen: map[string]int{}, limits: limited(nil), pageLines: 1000, looks: 200,
	}
}

// start serves until the test's end and returns a client that reaches it. It
// must be called in a bubble.
func (s *server) start() *http.Client {
	s.t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial}
	s.t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			s.t.Error(err)
		}
		// A connection that ended within a body lingers for half a second.
		time.Sleep(time.Second) // of the bubble's time
	})
	return &http.Client{Transport: transport}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v1")
	s.mu.Lock()
	s.seen[call]++
	nth := s.seen[call]
	if rng := r.Header.Get("Range"); rng != "" {
		s.calls = append(s.calls, call+" "+rng)
	} else {
		s.calls = append(s.calls, call)
	}
	s.callTime = append(s.callTime, time.Now())
	s.headers = append(s.headers, r.Header.Clone())
	s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+testKey {
		fail(w, http.StatusUnauthorized, "Incorrect API key provided.")
		return
	}
	if s.intercept != nil && s.intercept(w, r, nth) {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/files", s.createFile)
	mux.HandleFunc("GET /v1/files/{id}/content", s.content)
	mux.HandleFunc("POST /v1/uploads", s.createUpload)
	mux.HandleFunc("POST /v1/uploads/{id}/parts", s.addPart)
	mux.HandleFunc("POST /v1/uploads/{id}/complete", s.completeUpload)
	mux.HandleFunc("POST /v1/uploads/{id}/cancel", s.cancelUpload)
	mux.HandleFunc("POST /v1/batches", s.createBatch)
	mux.HandleFunc("GET /v1/batches", s.listBatches)
	mux.HandleFunc("GET /v1/batches/{id}", s.getBatch)
	mux.HandleFunc("POST /v1/batches/{id}/cancel", s.cancelBatch)
	mux.HandleFunc("GET /v1/files", s.listFiles)
	mux.HandleFunc("DELETE /v1/files/{id}", s.deleteFile)
	if !s.foreign {
		s.ours(mux)
	}
	mux.ServeHTTP(w, r)
}

func (s *server) addBatch(id string, run batchRun) *serverBatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &serverBatch{
		id: id, created: time.Now(), run: run, endpoint: "/v1/chat/completions", window: "24h", inputFile: "file-in",
	}
	s.batches = append(s.batches, b)
	s.files["file-out-"+id], s.files["file-err-"+id] = run.output, run.failures
	return b
}

func (s *server) called(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, c := range s.calls {
		if strings.HasPrefix(c, prefix) {
			found = append(found, c)
		}
	}
	return found
}

func (s *server) id(prefix string) string {
	s.next++
	return fmt.Sprintf("%s%d", prefix, s.next)
}

func (s *server) createFile(w http.ResponseWriter, r *http.Request) {
	f, header, err := r.FormFile("file")
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	body, err := io.ReadAll(f)
	if err != nil || len(body) > lambdaLimit || r.FormValue("purpose") != "batch" {
		fail(w, http.StatusRequestEntityTooLarge, "File is too large.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.id("file-")
	s.files[id], s.names[id] = body, header.Filename
	answer(w, fileObject(id, header.Filename, len(body)))
}

func fileObject(id, name string, size int) map[string]any {
	return map[string]any{
		"id": id, "object": "file", "bytes": size, "created_at": time.Now().Unix(), "filename": name,
		"purpose": "batch", "status": "processed",
	}
}

func (s *server) createUpload(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Bytes             int64
		Filename, Purpose string
		MimeType          string `json:"mime_type"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.Purpose != "batch" || in.MimeType == "" {
		fail(w, http.StatusBadRequest, "bad upload")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.id("upload_")
	s.uploads[id], s.sizes[id], s.names[id] = map[string][]byte{}, in.Bytes, in.Filename
	answer(w, uploadObject(id, "pending", nil))
}

func uploadObject(id, status string, file any) map[string]any {
	return map[string]any{
		"id": id, "object": "upload", "bytes": 1, "created_at": 1, "expires_at": 2, "filename": "f", "purpose": "batch",
		"status": status, "file": file,
	}
}

func (s *server) addPart(w http.ResponseWriter, r *http.Request) {
	f, _, err := r.FormFile("data")
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	s.mu.Lock()
	s.parts++
	s.mostParts = max(s.mostParts, s.parts)
	s.mu.Unlock()
	time.Sleep(s.slowParts) // of the bubble's time
	s.mu.Lock()
	s.parts--
	s.mu.Unlock()
	body, err := io.ReadAll(f)
	if err != nil || len(body) > lambdaLimit {
		fail(w, http.StatusRequestEntityTooLarge, "Part is too large.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.id("part_")
	s.uploads[r.PathValue("id")][id] = body
	answer(w, map[string]any{"id": id, "object": "upload.part", "created_at": 1, "upload_id": r.PathValue("id")})
}

func (s *server) completeUpload(w http.ResponseWriter, r *http.Request) {
	var in struct {
		PartIDs []string `json:"part_ids"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		fail(w, http.StatusBadRequest, "bad parts")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.PathValue("id")
	var whole []byte
	for _, p := range in.PartIDs {
		whole = append(whole, s.uploads[id][p]...)
	}
	if int64(len(whole)) != s.sizes[id] {
		fail(w, http.StatusBadRequest, "The parts do not add up.")
		return
	}
	file := s.id("file-")
	s.files[file], s.names[file] = whole, s.names[id]
	answer(w, uploadObject(id, "completed", fileObject(file, s.names[id], len(whole))))
}

func (s *server) cancelUpload(w http.ResponseWriter, r *http.Request) {
	answer(w, uploadObject(r.PathValue("id"), "cancelled", nil))
}

func (s *server) createBatch(w http.ResponseWriter, r *http.Request) {
	var in struct {
		InputFileID      string `json:"input_file_id"`
		Endpoint         string
		CompletionWindow string `json:"completion_window"`
		Metadata         map[string]string
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		fail(w, http.StatusBadRequest, "bad batch")
		return
	}
	s.mu.Lock()
	b := &serverBatch{
		id: s.id("batch_"), created: time.Now(), run: s.run, endpoint: in.Endpoint, window: in.CompletionWindow,
		metadata: in.Metadata, inputFile: in.InputFileID,
	}
	s.batches = append(s.batches, b)
	s.files["file-out-"+b.id], s.files["file-err-"+b.id] = b.run.output, b.run.failures
	s.mu.Unlock()
	answer(w, b.object())
}

func (s *server) find(w http.ResponseWriter, id string) *serverBatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		if b.id == id {
			return b
		}
	}
	fail(w, http.StatusNotFound, fmt.Sprintf("No batch found with id '%s'.", id))
	return nil
}

func (s *server) getBatch(w http.ResponseWriter, r *http.Request) {
	if b := s.find(w, r.PathValue("id")); b != nil {
		answer(w, b.object())
	}
}

func (s *server) cancelBatch(w http.ResponseWriter, r *http.Request) {
	b := s.find(w, r.PathValue("id"))
	if b == nil {
		return
	}
	if status := b.object()["status"]; status == "completed" {
		w.Header().Set("X-Should-Retry", "false")
		fail(w, http.StatusConflict, fmt.Sprintf("Cannot cancel a batch with status '%s'.", status))
		return
	}
	b.canceled = time.Now()
	answer(w, b.object())
}

func (s *server) listBatches(w http.ResponseWriter, r *http.Request) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 100 {
		fail(w, http.StatusBadRequest, "limit")
		return
	}
	s.mu.Lock()
	all := slices.Clone(s.batches)
	s.mu.Unlock()
	slices.Reverse(all)
	if after := r.URL.Query().Get("after"); after != "" {
		at := slices.IndexFunc(all, func(b *serverBatch) bool { return b.id == after })
		all = all[at+1:]
	}
	q := r.URL.Query()
	filters := q.Has("status") || q.Has("search")
	if s.old && filters {
		failParam(w, map[bool]string{true: "status", false: "search"}[q.Has("status")], "unknown_parameter", "Unknown parameter.")
		return
	}
	if filters && !s.foreign {
		s.filtered(w, all, q, limit)
		return
	}
	page := all[:min(limit, len(all))]
	data := []any{}
	for _, b := range page {
		data = append(data, b.object())
	}
	answer(w, map[string]any{"object": "list", "data": data, "has_more": len(all) > len(page)})
}

// filtered answers with those of some batches that a query wants, as ours does.
func (s *server) filtered(w http.ResponseWriter, all []*serverBatch, q url.Values, limit int) {
	data, last, n := []any{}, q.Get("after"), 0
	for ; n < min(s.looks, len(all)) && len(data) < limit; n++ {
		b := all[n]
		o := b.object()
		s.mu.Lock()
		text := fmt.Sprint(b.id, b.metadata, s.names[b.inputFile])
		s.mu.Unlock()
		if last = b.id; (q.Get("status") == "" || o["status"] == q.Get("status")) && batch.Mentions(text, q.Get("search")) {
			data = append(data, o)
		}
	}
	answer(w, map[string]any{"object": "list", "data": data, "last_id": last, "has_more": n < len(all)})
}

func (s *server) content(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	body, ok := s.files[r.PathValue("id")]
	s.mu.Unlock()
	if !ok {
		fail(w, http.StatusNotFound, "No such File object: "+r.PathValue("id"))
		return
	}
	sum := sha256.Sum256(body)
	w.Header().Set("Repr-Digest", "sha-512=:AA==:, sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	if s.noRanges {
		_, _ = w.Write(body)
		return
	}
	rec := &limitWriter{ResponseWriter: w, left: lambdaLimit}
	http.ServeContent(rec, r, "", time.Time{}, bytes.NewReader(body))
}

// A limitWriter breaks answers that the real server could not give.
type limitWriter struct {
	http.ResponseWriter
	left int
}

func (l *limitWriter) Write(p []byte) (int, error) {
	if len(p) > l.left {
		panic(http.ErrAbortHandler)
	}
	l.left -= len(p)
	return l.ResponseWriter.Write(p)
}

// object returns the batch as it is now.
func (b *serverBatch) object() map[string]any {
	age := time.Since(b.created)
	done := min(int(age.Seconds()*b.run.perSecond), b.run.total)
	status := "in_progress"
	counts := map[string]int{"total": b.run.total, "completed": done, "failed": 0, "expired": 0, "cancelled": 0}
	if b.run.failEvery > 0 {
		counts["failed"] = done / b.run.failEvery
		counts["completed"] = done - counts["failed"]
	}
	o := map[string]any{
		"id": b.id, "object": "batch", "endpoint": b.endpoint, "input_file_id": b.inputFile,
		"completion_window": b.window, "created_at": b.created.Unix(), "expires_at": b.created.Add(24 * time.Hour).Unix(),
		"metadata": b.metadata, "errors": nil, "output_file_id": nil, "error_file_id": nil,
	}
	ended := b.run.endAfter > 0 && age >= b.run.endAfter
	switch {
	case b.run.end == "failed" && ended:
		status = "failed"
		if b.run.total == 0 {
			counts = map[string]int{"total": 0, "completed": 0, "failed": 0}
		}
		o["errors"] = map[string]any{"object": "list", "data": b.run.errors}
	case b.run.end == "expired" && ended:
		status = "expired"
		counts["expired"] = b.run.total - done
	case !b.canceled.IsZero() && time.Since(b.canceled) >= 2*time.Second:
		status = "cancelled"
		counts["cancelled"] = b.run.total - done
	case !b.canceled.IsZero():
		status = "cancelling"
	case age < time.Second:
		status, counts = "validating", map[string]int{"total": 0, "completed": 0, "failed": 0}
	case done == b.run.total && b.run.end == "":
		status = "completed"
	}
	if b.run.waiting != nil { // as Musketry has it, and OpenAI does not
		o["waiting"] = nil
		if status == "in_progress" && age < time.Minute {
			o["waiting"] = b.run.waiting
		} else if status == "in_progress" {
			o["waiting"] = []any{}
		}
	}
	o["status"], o["request_counts"] = status, counts
	if slices.Contains([]string{"completed", "failed", "expired", "cancelled"}, status) {
		o[status+"_at"] = time.Now().Unix()
		if counts["completed"] > 0 {
			o["output_file_id"] = "file-out-" + b.id
		}
		if counts["failed"]+counts["expired"]+counts["cancelled"] > 0 {
			o["error_file_id"] = "file-err-" + b.id
		}
	}
	return o
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// failParam refuses a parameter.
func failParam(w http.ResponseWriter, param, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"message": message, "type": "invalid_request_error", "param": param, "code": code,
	}})
}

func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"message": message, "type": "invalid_request_error", "param": nil, "code": nil,
	}})
}

// A pipeListener hands out in-memory connections.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, srv := net.Pipe()
	select {
	case l.conns <- srv:
		return client, nil
	case <-l.done:
	case <-ctx.Done():
	}
	return nil, &net.OpError{Op: "dial", Net: "pipe", Err: io.ErrClosedPipe}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
