package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/submit"
)

// running creates a batch with these custom_ids for alice, and loads it.
func (w *world) running(customIDs ...string) (batchID, fileID string) {
	w.t.Helper()
	var text strings.Builder
	for _, id := range customIDs {
		quoted, err := json.Marshal(id)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&text, `{"custom_id":%s,"method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}`+"\n", quoted)
	}
	fileID = w.upload(w.alice, text.String())
	batchID = w.post("/v1/batches", orderOf(fileID)).want(200).text("id")
	w.load(batchID)
	return batchID, fileID
}

// load loads the batch as its flow would.
func (w *world) load(batchID string) batch.Batch {
	w.t.Helper()
	loader := submit.NewLoader(submit.LoadDeps{
		Store: w.store, Source: w.store, Inputs: w.files, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
	}, submit.LoadConfig{})
	for _, started := range w.flow.Starts() {
		if started.ID != batchID {
			continue
		}
		if next, err := loader.Load(w.t.Context(), submit.Task{Ref: started.Ref}); err != nil || next != submit.NextAdvance {
			w.t.Fatalf("next is %q, %v", next, err)
		}
	}
	return w.stored(batchID)
}

func (w *world) stored(batchID string) batch.Batch {
	w.t.Helper()
	b, err := w.store.Batch(w.t.Context(), batch.Ref{Tenant: "alice", ID: batchID})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// apply makes the changes that next returns, one after the other.
func (w *world) apply(batchID string, line int, move func(r state.Request[state.Processing]) (state.Change, error)) {
	w.t.Helper()
	b := w.stored(batchID)
	rec, err := w.store.Request(w.t.Context(), b.Key(line))
	if err != nil {
		w.t.Fatal(err)
	}
	pending, err := state.As[state.Pending](rec)
	if err != nil {
		w.t.Fatal(err)
	}
	lease := state.Lease{ClaimID: fmt.Sprint("claim", line), Worker: "w", Expires: w.clock().Add(time.Minute)}
	claimed, err := state.Claim(pending, lease, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	started, err := state.Start(claimed, w.clock().Add(time.Second))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := started.Change()
	if move != nil {
		c, err = move(started)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.Apply(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) complete(batchID string, line int) {
	w.t.Helper()
	w.apply(batchID, line, func(r state.Request[state.Processing]) (state.Change, error) {
		return state.Complete(r, state.Result{StatusCode: 200, Model: "m-1"}, w.clock().Add(3*time.Second)).Change()
	})
}

func (w *world) fail(batchID string, line int) {
	w.t.Helper()
	w.apply(batchID, line, func(r state.Request[state.Processing]) (state.Change, error) {
		return state.Fail(r, state.Failure{Reason: state.NonRetryableHTTPStatus{Status: 400}, Model: "m"},
			w.clock().Add(3*time.Second)).Change()
	})
}

func (w *world) retryLater(batchID string, line int) {
	w.t.Helper()
	w.apply(batchID, line, func(r state.Request[state.Processing]) (state.Change, error) {
		failed := state.Fail(r, state.Failure{Reason: state.Timeout{Error: "slow"}}, w.clock())
		pending, err := state.Retry(failed, w.clock().Add(time.Minute))
		if err != nil {
			return state.Change{}, err
		}
		return pending.Change()
	})
}

// customIDs returns the custom_ids of a list of requests.
func (r reply) customIDs() []string {
	r.t.Helper()
	data, _ := r.json["data"].([]any)
	ids := []string{}
	for _, v := range data {
		object, _ := v.(map[string]any)
		id, _ := object["custom_id"].(string)
		ids = append(ids, id)
	}
	return ids
}

func TestRequestsAreSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a", "b", "c", "d", "e")
	w.complete(id, 1)
	w.fail(id, 2)
	w.retryLater(id, 3)
	w.apply(id, 4, nil)
	now := float64(w.clock().Unix())
	want := func(line int, customID, status string, more map[string]any) map[string]any {
		m := map[string]any{
			"id": fmt.Sprintf("batch_req_%s_%d", strings.TrimPrefix(id, "batch_"), line), "object": "batch.request",
			"batch_id": id, "custom_id": customID, "line": float64(line), "status": status, "attempts": 0.0,
			"reclaims": 0.0, "last_failure": nil, "failure_kind": nil, "reason": nil, "retry_denied": nil, "status_code": nil,
			"model": nil, "created_at": now, "next_try_at": nil, "claimed_at": nil, "started_at": nil, "finished_at": nil,
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	wants := []any{
		want(1, "a", "completed", map[string]any{
			"attempts": 1.0, "reclaims": nil, "status_code": 200.0, "model": "m-1", "claimed_at": now,
			"started_at": now + 1, "finished_at": now + 3,
		}),
		want(2, "b", "failed", map[string]any{
			"attempts": 1.0, "status_code": 400.0, "model": "m", "claimed_at": now, "started_at": now + 1,
			"finished_at": now + 3, "failure_kind": "non_retryable_http_status", "reason": "http_400",
			"last_failure": "the upstream answered with status 400",
		}),
		want(3, "c", "pending", map[string]any{
			"attempts": 1.0, "last_failure": "the call timed out: slow", "next_try_at": now + 60,
		}),
		want(4, "d", "in_progress", map[string]any{"attempts": 1.0, "claimed_at": now, "started_at": now + 1}),
		want(5, "e", "pending", nil),
	}
	r := w.get("/v1/batches/" + id + "/requests").want(200)
	if diff := cmp.Diff(wants, r.json["data"]); diff != "" || r.json["has_more"] != false {
		t.Errorf("has_more %v, %s", r.json["has_more"], diff)
	}
	for i, customID := range []string{"a", "b", "c", "d", "e"} {
		if diff := cmp.Diff(wants[i], any(w.get("/v1/batches/"+id+"/requests/"+r.ids()[i]).want(200).json)); diff != "" {
			t.Errorf("%s: %s", customID, diff)
		}
		got := w.get("/v1/batches/" + id + "/requests?custom_id=" + customID).want(200)
		if diff := cmp.Diff([]any{wants[i]}, got.json["data"]); diff != "" {
			t.Error(diff)
		}
	}
	path := "/v1/batches/" + id + "/requests"
	w.get(path+"/a").refused(404, "request_id", "", "ask for /batches/"+id+"/requests?custom_id=.")
	w.get(path+"/"+r.ids()[0]+"0").refused(404, "request_id", "", "No request with id 'batch_req_")
	for _, customID := range []string{"f", "", r.ids()[0]} {
		if ids := w.get(path + "?custom_id=" + customID).want(200).ids(); len(ids) != 0 {
			t.Errorf("%q: found %v", customID, ids)
		}
	}
}

// TestCallsInFlightAtTheEndAreSeen counts a call that was in flight when its request expired or was cancelled, and shows what the
// last one failed with.
func TestCallsInFlightAtTheEndAreSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a", "b", "c")
	w.apply(id, 1, func(r state.Request[state.Processing]) (state.Change, error) {
		return state.Expire(r, w.clock()).Change()
	})
	w.apply(id, 2, func(r state.Request[state.Processing]) (state.Change, error) {
		return state.Cancel(r, w.clock()).Change()
	})
	w.retryLater(id, 3)
	b := w.stored(id)
	rec, err := w.store.Request(t.Context(), b.Key(3))
	if err != nil {
		t.Fatal(err)
	}
	pending, err := state.As[state.Pending](rec)
	if err != nil {
		t.Fatal(err)
	}
	c, err := state.Expire(pending, w.clock()).Change()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for customID, want := range map[string]map[string]any{
		"a": {"status": "expired", "attempts": 1.0, "last_failure": "the completion window expired while a call was in flight"},
		"b": {"status": "cancelled", "attempts": 1.0, "last_failure": nil},
		"c": {"status": "expired", "attempts": 1.0, "last_failure": "the call timed out: slow"},
	} {
		list, _ := w.get("/v1/batches/" + id + "/requests?custom_id=" + customID).want(200).json["data"].([]any)
		got, _ := list[0].(map[string]any)
		for field, want := range want {
			if got[field] != want {
				t.Errorf("%s: %s is %v, want %v", customID, field, got[field], want)
			}
		}
	}
}

// TestARefusedRetryIsSeen shows what its last call failed with.
func TestARefusedRetryIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a")
	w.retryLater(id, 1)
	b := w.stored(id)
	rec, err := w.store.Request(t.Context(), b.Key(1))
	if err != nil {
		t.Fatal(err)
	}
	pending, err := state.As[state.Pending](rec)
	if err != nil {
		t.Fatal(err)
	}
	failed, err := state.Deny(pending, state.Refusal{Why: state.DenialDeadline, ClaimID: "late", Model: "m", At: b.Deadline})
	if err != nil {
		t.Fatal(err)
	}
	c, err := failed.Change()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	list, _ := w.get("/v1/batches/" + id + "/requests?custom_id=a").want(200).json["data"].([]any)
	got, _ := list[0].(map[string]any)
	for field, want := range map[string]any{
		"status": "failed", "attempts": 1.0, "last_failure": "the call timed out: slow", "failure_kind": "retry_too_late",
		"retry_denied": "deadline", "model": "m",
	} {
		if got[field] != want {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
}

func TestRequestsComeInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a", "b", "c", "d", "e")
	w.complete(id, 2)
	w.complete(id, 5)
	for query, pages := range map[string][]string{
		"limit=2": {"a,b", "c,d", "e"}, "limit=5": {"a,b,c,d,e"}, "status=completed&limit=1": {"b", "e"},
		"status=pending&limit=3": {"a,c,d", ""}, "status=cancelled": {""},
	} {
		after := ""
		for i, want := range pages {
			r := w.get("/v1/batches/" + id + "/requests?" + query + "&after=" + after).want(200)
			if got := strings.Join(r.customIDs(), ","); got != want || r.json["has_more"] != (i < len(pages)-1) {
				t.Errorf("%s, page %d: %q, more %v", query, i, got, r.json["has_more"])
			}
			after, _ = r.json["last_id"].(string)
		}
	}
	path := "/v1/batches/" + id + "/requests"
	w.get(path+"?status=done").refused(400, "status", "invalid_value", "'in_progress'")
	w.get(path+"?after=batch_req_x_1").refused(400, "after", "invalid_value", "is not the id of a request of this batch")
	w.get(path+"?limit=101").refused(400, "limit", "integer_above_max_value", "<= 100")
	w.get(path+"?limit=0").refused(400, "limit", "integer_below_min_value", ">= 1")
	w.get("/v1/batches/batch_x/requests").refused(404, "", "", "No batch found")
}

func TestNoRequestsAreSeenWhileValidating(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	r := w.get("/v1/batches/" + id + "/requests").want(200)
	if len(r.ids()) != 0 || r.json["has_more"] != false || r.json["last_id"] != nil {
		t.Errorf("list is %v", r.json)
	}
	first := "/v1/batches/" + id + "/requests/" + requestID(id, 1)
	w.get(first).refused(404, "request_id", "", "once it is no longer validating")
	w.post(first+"/cancel", "").refused(404, "request_id", "", "")
	if ids := w.get("/v1/batches/" + id + "/requests?custom_id=a").want(200).ids(); len(ids) != 0 {
		t.Errorf("found %v", ids)
	}
}

// TestCustomIDsOfAnySort finds and stops requests whose custom_ids would be
// something else in a path.
func TestCustomIDsOfAnySort(t *testing.T) {
	t.Parallel()
	names := []string{
		"a/b", "/", "//", "a/", "/a", ".", "..", "../..", "../requests", "a/../b", "a b", "ü😀", "%", "%2F", "a%2Fb", "?x=1", "#",
		"a/cancel", "cancel", "requests", "a?b#c", "\\", "'\"<>", "a;b,c:d@e&f=g+h$i", " ", "~", "1", "\u0000", "50%25", "a+b", "a|{b}",
		strings.Repeat("é", 128), "batch_req_1",
	}
	w := newWorld(t)
	id, _ := w.running(names...)
	path := "/v1/batches/" + id + "/requests"
	for i, name := range names {
		found := w.get(path + "?custom_id=" + url.QueryEscape(name)).want(200)
		if diff := cmp.Diff([]string{name}, found.customIDs()); diff != "" {
			t.Fatal(diff)
		}
		one := path + "/" + found.ids()[0]
		if r := w.get(one).want(200); r.text("custom_id") != name || r.number("line") != int64(i+1) {
			t.Errorf("%q is %v", name, r.json)
		}
		if r := w.post(one+"/cancel", "").want(200); r.text("custom_id") != name || r.text("status") != "cancelled" {
			t.Errorf("%q is %v", name, r.json)
		}
	}
}

// TestCustomIDsAreInNoPath demands that a custom_id in a path means nothing,
// also where a client has tidied the path or a gateway unescaped it.
func TestCustomIDsAreInNoPath(t *testing.T) {
	t.Parallel()
	names := []string{"a", "..", "a/b", "../cancel", "cancel"}
	w := newWorld(t)
	id, _ := w.running(names...)
	before := w.stored(id)
	for _, name := range names {
		for _, segment := range []string{url.PathEscape(name), strings.ReplaceAll(url.PathEscape(name), ".", "%2E"), name} {
			path := "/v1/batches/" + id + "/requests/" + segment
			if strings.Contains(path, "/../") {
				continue // a client's own slip: it asks for the batch
			}
			for _, a := range []ask{{method: "GET", path: path}, {method: "POST", path: path + "/cancel"}} {
				a.key = w.alice
				if r := w.ask(a); r.Code != 404 && r.Code != 405 {
					t.Errorf("%s %s is %d", a.method, a.path, r.Code)
				}
			}
		}
	}
	if diff := cmp.Diff(before, w.stored(id)); diff != "" {
		t.Errorf("a batch changed: %s", diff)
	}
}

// requestID is the id of a line's request.
func requestID(batchID string, line int) string {
	return batch.RequestID(state.Key{Batch: batchID, Line: line})
}

func TestCancelOneRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a", "b", "c")
	w.complete(id, 2)
	for range 2 {
		r := w.post("/v1/batches/"+id+"/requests/"+requestID(id, 1)+"/cancel", "").want(200)
		if r.text("status") != "cancelled" || r.number("finished_at") != w.clock().Unix() {
			t.Errorf("request is %v", r.json)
		}
	}
	w.post("/v1/batches/"+id+"/requests/"+requestID(id, 2)+"/cancel", "").refused(409, "", "", "Cannot cancel a request with status 'completed'.")
	w.post("/v1/batches/"+id+"/requests/"+requestID(id, 4)+"/cancel", "").refused(404, "request_id", "", "No request")
	r := w.get("/v1/batches/" + id).want(200)
	counts, _ := r.json["request_counts"].(map[string]any)
	if r.text("status") != "in_progress" || counts["cancelled"] != 1.0 {
		t.Errorf("batch is %v", r.json)
	}
	if got := w.stored(id).CanceledLines; len(got) != 1 || got[0] != 1 {
		t.Errorf("stopped %v", got)
	}
	w.change(id, func(b *batch.Batch) { _ = b.Fail(batch.FailNow, batch.InternalError("given up"), w.clock()) })
	w.post("/v1/batches/"+id+"/requests/"+requestID(id, 3)+"/cancel", "").refused(409, "", "", "Cannot cancel a request of a batch with status 'failed'.")
}

// end ends a batch of three requests, of which the second was completed.
func (w *world) end(id string) {
	w.t.Helper()
	w.complete(id, 2)
	w.fail(id, 1)
	w.post("/v1/batches/"+id+"/requests/"+requestID(id, 3)+"/cancel", "").want(200)
	w.change(id, func(b *batch.Batch) {
		if err := b.Seal(batch.Counts{Total: 3, Completed: 1, Failed: 1, Canceled: 1}, w.clock()); err != nil {
			w.t.Error(err)
		}
		if err := b.End(w.clock()); err != nil {
			w.t.Error(err)
		}
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, file := w.running("a", "b", "c")
	path := "/v1/batches/" + id + "/retry"
	w.post(path, "").refused(409, "", "", "Cannot retry a batch with status 'in_progress'.")
	w.end(id)
	before := w.stored(id)

	r := w.ask(ask{method: "POST", path: path, key: w.alice}).want(200).suits("Batch")
	if r.text("retry_of") != id || r.text("id") == id || r.text("input_file_id") == file ||
		r.text("completion_window") != "24h" || r.text("status") != "validating" {
		t.Errorf("the retry is %v", r.json)
	}
	made := w.load(r.text("id"))
	if made.Status != batch.StatusInProgress || made.Counts.Total != 2 {
		t.Errorf("the retry is %+v", made)
	}
	if diff := cmp.Diff([]string{"a", "c"}, w.get("/v1/batches/"+made.ID+"/requests").customIDs()); diff != "" {
		t.Error(diff)
	}
	content := w.get("/v1/files/" + made.InputFileID + "/content").want(200).Body.String()
	if strings.Count(content, "\n") != 2 || !strings.Contains(content, `"custom_id":"c"`) {
		t.Errorf("the file is %q", content)
	}
	w.ask(ask{method: "DELETE", path: "/v1/files/" + made.InputFileID, key: w.alice}).want(409)
	if diff := cmp.Diff(before, w.stored(id)); diff != "" {
		t.Errorf("the first batch changed: %s", diff)
	}

	other := w.post(path, `{"completion_window":"7d","metadata":{"k":"v"}}`).want(200)
	if other.text("completion_window") != "7d" || other.json["metadata"].(map[string]any)["k"] != "v" || other.text("id") == made.ID {
		t.Errorf("the retry is %v", other.json)
	}
	w.post(path, `{"completion_window":"soon"}`).refused(400, "completion_window", "invalid_value", "")
	w.post(path, `{"completion_window":5}`).refused(400, "completion_window", "invalid_type", "")
	w.post(path, `[]`).refused(400, "", "invalid_json", "")
}

func TestRetryIsOneOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, file := w.running("a", "b", "c")
	w.end(id)
	order := ask{
		method: "POST", path: "/v1/batches/" + id + "/retry", key: w.alice, header: map[string]string{"Idempotency-Key": "k"},
	}
	first := w.ask(order).want(200).text("id")
	if again := w.ask(order).want(200).text("id"); again != first {
		t.Errorf("a repeated order became %s and %s", first, again)
	}
	order.kind, order.body = "application/json", `{"completion_window":"1h"}`
	w.ask(order).refused(409, "", "idempotency_key_reused", "")
	w.ask(ask{
		method: "POST", path: "/v1/batches", key: w.alice, kind: "application/json", body: orderOf(file),
		header: map[string]string{"Idempotency-Key": "k"},
	}).refused(409, "", "idempotency_key_reused", "")
}

func TestRetryOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, file := w.running("a", "b", "c")
	w.end(id)
	path := "/v1/batches/" + id + "/retry"
	w.ask(ask{method: "DELETE", path: "/v1/files/" + file, key: w.alice}).want(200)
	w.post(path, "{}").refused(400, "", "input_file_gone", "Upload their lines as a new file")

	w.change(id, func(b *batch.Batch) { b.Counts = batch.Counts{Total: 3, Completed: 3} })
	w.post(path, "{}").refused(400, "", "invalid_request", "there is nothing to retry")

	bad := w.upload(w.alice, `{"custom_id":"a"}`+"\n")
	refused := w.post("/v1/batches", orderOf(bad)).want(200).text("id")
	if got := w.load(refused); got.Status != batch.StatusFailed {
		t.Fatalf("batch is %+v", got)
	}
	w.post("/v1/batches/"+refused+"/retry", "{}").refused(400, "", "invalid_request", "before its requests were accepted")
}

func TestRequestsBelongToTheirTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a", "b", "c")
	w.end(id)
	running, _ := w.running("a")
	before, started := w.stored(running), len(w.flow.Starts())
	for _, a := range []ask{
		{method: "GET", path: "/v1/batches/" + id + "/requests"},
		{method: "GET", path: "/v1/batches/" + id + "/requests?custom_id=a"},
		{method: "GET", path: "/v1/batches/" + id + "/requests/" + requestID(id, 1)},
		{method: "GET", path: "/v1/batches/" + running + "/requests/" + batch.RequestID(before.Key(1))},
		{method: "POST", path: "/v1/batches/" + running + "/requests/" + requestID(running, 1) + "/cancel"},
		{method: "POST", path: "/v1/batches/" + id + "/retry"},
		{method: "POST", path: "/v1/batches/" + id + "/retry", kind: "application/json", body: "{}"},
	} {
		a.key = w.bob
		w.ask(a).refused(404, "", "", "No batch found")
	}
	if diff := cmp.Diff(before, w.stored(running)); diff != "" || len(w.flow.Starts()) != started {
		t.Errorf("another tenant changed a batch: %s", diff)
	}
	if got := w.get("/v1/batches/" + running + "/requests/" + requestID(running, 1)).want(200).text("status"); got != "pending" {
		t.Errorf("the request is %s", got)
	}
}
