package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

func TestCreateBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.upload(w.alice, line)
	r := w.post("/v1/batches", `{"input_file_id":"`+file+`","endpoint":"/v1/chat/completions","completion_window":"90m",
		"metadata":{"team":"ünïcode","empty":""},"output_expires_after":{"anchor":"created_at","seconds":3600}}`)
	r.want(200).suits("Batch")
	now := w.clock().Unix()
	want := map[string]any{
		"id": r.text("id"), "object": "batch", "endpoint": "/v1/chat/completions", "model": nil, "errors": nil,
		"input_file_id": file, "completion_window": "90m", "status": "validating", "output_file_id": nil,
		"error_file_id": nil, "created_at": float64(now), "in_progress_at": nil, "expires_at": float64(now + 5400),
		"finalizing_at": nil, "completed_at": nil, "failed_at": nil, "expired_at": nil, "cancelling_at": nil,
		"cancelled_at": nil, "usage": nil, "retry_of": nil, "metadata": map[string]any{"team": "ünïcode", "empty": ""},
		"waiting": nil,
		"request_counts": map[string]any{
			"total": 0.0, "completed": 0.0, "failed": 0.0, "expired": 0.0, "cancelled": 0.0,
		},
	}
	if diff := cmp.Diff(want, r.json); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, w.get("/v1/batches/"+r.text("id")).want(200).json); diff != "" {
		t.Errorf("retrieved: %s", diff)
	}
	starts := w.flow.Starts()
	if len(starts) != 1 || starts[0].ID != r.text("id") || starts[0].OutputExpiresAfter != time.Hour {
		t.Errorf("flows started: %+v", starts)
	}
}

func TestCreateBatchTakesEveryEndpointAndWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.upload(w.alice, line)
	for _, endpoint := range []string{
		"/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/moderations",
		"/v1/images/generations", "/v1/images/edits", "/v1/rerank",
	} {
		w.post("/batches", strings.Replace(orderOf(file), "/v1/chat/completions", endpoint, 1)).want(200)
	}
	for window, seconds := range map[string]int64{"24h": 86400, "7d": 604800, "10s": 10, "1h30m": 5400, "168h": 604800} {
		r := w.post("/batches", strings.Replace(orderOf(file), "24h", window, 1)).want(200)
		if got := r.number("expires_at") - r.number("created_at"); got != seconds || r.text("completion_window") != window {
			t.Errorf("window %s is %d s", window, got)
		}
	}
}

func TestCreateBatchRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.upload(w.alice, line)
	body, kind := formOf(t, "in.jsonl", line, "purpose", "user_data")
	other := w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).want(200).text("id")
	with := func(field, value string) string {
		var o map[string]json.RawMessage
		if err := json.Unmarshal([]byte(orderOf(file)), &o); err != nil {
			t.Fatal(err)
		}
		delete(o, field)
		if value != "" {
			o[field] = json.RawMessage(value)
		}
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	pairs := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":"v"`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	quoted := func(n int) string { return `"` + strings.Repeat("ü", n) + `"` }
	absent := "file-01jnfh0000000000000000000g"
	for name, c := range map[string]struct {
		body, param, code, message string
	}{
		"videos":         {with("endpoint", `"/v1/videos"`), "endpoint", "invalid_value", "It answers with a job that is not done yet"},
		"no JSON":        {"{", "", "invalid_json", "not a JSON object"},
		"an array":       {"[]", "", "invalid_json", "not a JSON object"},
		"null":           {"null", "", "invalid_json", "not a JSON object"},
		"nothing":        {"", "", "invalid_json", "not a JSON object"},
		"two objects":    {"{}{}", "", "invalid_json", "not a JSON object"},
		"no UTF-8":       {"{\"a\":\"\xff\"}", "", "invalid_json", "not a JSON object"},
		"no file":        {with("input_file_id", ""), "input_file_id", "missing_required_parameter", "Missing required parameter: 'input_file_id'."},
		"a null file":    {with("input_file_id", "null"), "input_file_id", "missing_required_parameter", "Missing"},
		"no endpoint":    {with("endpoint", ""), "endpoint", "missing_required_parameter", "Missing required parameter: 'endpoint'."},
		"no window":      {with("completion_window", ""), "completion_window", "missing_required_parameter", "Missing required parameter: 'completion_window'."},
		"a number":       {with("input_file_id", "1"), "input_file_id", "invalid_type", "Invalid type for 'input_file_id': expected a string, but got an integer instead."},
		"a decimal":      {with("endpoint", "1.5"), "endpoint", "invalid_type", "Invalid type for 'endpoint': expected a string, but got a decimal instead."},
		"a boolean":      {with("completion_window", "true"), "completion_window", "invalid_type", "expected a string, but got a boolean instead."},
		"empty":          {with("endpoint", `""`), "endpoint", "invalid_value", "not empty"},
		"endpoint":       {with("endpoint", `"/v1/x"`), "endpoint", "invalid_value", "Invalid value: '/v1/x'. Supported values are: '/v1/responses'"},
		"window":         {with("completion_window", `"soon"`), "completion_window", "invalid_value", "completion_window"},
		"short window":   {with("completion_window", `"9s"`), "completion_window", "invalid_value", "10s to 7d"},
		"long window":    {with("completion_window", `"8d"`), "completion_window", "invalid_value", "10s to 7d"},
		"metadata":       {with("metadata", `"x"`), "metadata", "invalid_type", "expected an object, but got a string instead."},
		"a list of tags": {with("metadata", `{"tags":["a"]}`), "metadata.tags", "invalid_type", "Invalid type for 'metadata.tags': expected a string, but got an array instead."},
		"a null tag":     {with("metadata", `{"tags":null}`), "metadata.tags", "invalid_type", "but got null instead."},
		"many pairs":     {with("metadata", pairs(17)), "metadata", "object_above_max_properties", "at most 16"},
		"long key":       {with("metadata", "{"+quoted(65)+`:"v"}`), "metadata", "string_above_max_length", "at most 64 characters, but got 65"},
		"long value":     {with("metadata", `{"k":`+quoted(513)+"}"), "metadata.k", "string_above_max_length", "at most 512 characters, but got 513"},
		"no anchor":      {with("output_expires_after", `{"seconds":3600}`), "output_expires_after.anchor", "missing_required_parameter", "Missing"},
		"bad anchor":     {with("output_expires_after", `{"anchor":"x","seconds":3600}`), "output_expires_after.anchor", "invalid_value", "'created_at'"},
		"no seconds":     {with("output_expires_after", `{"anchor":"created_at"}`), "output_expires_after.seconds", "missing_required_parameter", "Missing"},
		"seconds":        {with("output_expires_after", `{"anchor":"created_at","seconds":"3600"}`), "output_expires_after.seconds", "invalid_type", "expected an integer, but got a string instead."},
		"few seconds":    {with("output_expires_after", `{"anchor":"created_at","seconds":3599}`), "output_expires_after.seconds", "integer_below_min_value", "3600"},
		"many seconds":   {with("output_expires_after", `{"anchor":"created_at","seconds":2592001}`), "output_expires_after.seconds", "integer_above_max_value", "2592000"},
		"purpose":        {strings.Replace(orderOf(file), file, other, 1), "input_file_id", "invalid_value", "purpose 'batch', not 'user_data'"},
		"long key of it": {with("idempotency_key", quoted(200)), "idempotency_key", "string_above_max_length", "255"},
		"absent file":    {strings.Replace(orderOf(file), file, absent, 1), "input_file_id", "", "No such File object: " + absent},
		"no file's id":   {strings.Replace(orderOf(file), file, "input.jsonl", 1), "input_file_id", "", "No such File object: input.jsonl"},
	} {
		status := 400
		if strings.HasPrefix(c.message, "No such") {
			status = 404
		}
		w.post("/v1/batches", c.body).refused(status, c.param, c.code, c.message)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	// What is at its limits is taken.
	for _, metadata := range []string{pairs(16), "{" + quoted(64) + ":" + quoted(512) + "}", "{}", "null"} {
		w.post("/v1/batches", with("metadata", metadata)).want(200).suits("Batch")
	}
	if n := len(w.flow.Starts()); n != 4 {
		t.Errorf("%d flows were started, want 4", n)
	}
	w.ask(ask{method: "POST", path: "/v1/batches", key: w.alice, kind: "text/plain", body: orderOf(file)}).
		refused(415, "", "unsupported_content_type", "application/json")
	w.post("/v1/batches", `{"x":"`+strings.Repeat("x", 1<<20)+`"}`).refused(413, "", "request_too_large", "1048576")
}

// TestBatchOverItsLife shows a batch in every status.
func TestBatchOverItsLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	counts := func(r reply) []int {
		c, _ := r.json["request_counts"].(map[string]any)
		var n []int
		for _, name := range []string{"total", "completed", "failed", "expired", "cancelled"} {
			v, _ := c[name].(float64)
			n = append(n, int(v))
		}
		return n
	}
	check := func(status string, wantCounts ...int) reply {
		t.Helper()
		r := w.get("/v1/batches/" + id).want(200).suits("Batch")
		if r.text("status") != status {
			t.Errorf("status is %s, want %s", r.text("status"), status)
		}
		if diff := cmp.Diff(wantCounts, counts(r)); diff != "" {
			t.Errorf("%s: %s", status, diff)
		}
		return r
	}
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	w.change(id, func(b *batch.Batch) { must(b.Validated(5)) })
	check("validating", 0, 0, 0, 0, 0)
	w.change(id, func(b *batch.Batch) { must(b.Loaded(5, 100, w.clock())) })
	check("in_progress", 5, 0, 0, 0, 0)
	must(w.store.PutCounter(t.Context(), id, batch.CounterShard{ID: "x", Counts: batch.Counts{Completed: 2, Failed: 1}}))
	check("in_progress", 5, 2, 1, 0, 0)
	must(w.store.PutCounter(t.Context(), id, batch.CounterShard{ID: "y", Counts: batch.Counts{Completed: 2, Failed: 1}}))
	check("in_progress", 5, 4, 1, 0, 0) // one was counted twice
	w.advance(time.Hour)
	w.change(id, func(b *batch.Batch) {
		must(b.Seal(batch.Counts{Total: 5, Completed: 3, Failed: 1, Expired: 1}, w.clock()))
		b.WriteOut = batch.WriteOut{
			OutputID: "file-01jnfh0000000000000000000a", Output: batch.Multipart{Done: true},
			ErrorID: "file-01jnfh0000000000000000000b", Error: batch.Multipart{Done: true},
		}
	})
	w.change(id, func(b *batch.Batch) {
		b.Tokens = state.Tokens{Input: 40, Cached: 8, Output: 30, Reasoning: 20, Total: 70}
	})
	r := check("finalizing", 5, 3, 1, 1, 0)
	if r.json["output_file_id"] != nil || r.json["error_file_id"] != nil || r.json["usage"] != nil {
		t.Error("files or usage are named before the end")
	}
	w.change(id, func(b *batch.Batch) { must(b.End(w.clock())) })
	r = check("expired", 5, 3, 1, 1, 0)
	usage := map[string]any{
		"input_tokens": 40.0, "input_tokens_details": map[string]any{"cached_tokens": 8.0},
		"output_tokens": 30.0, "output_tokens_details": map[string]any{"reasoning_tokens": 20.0}, "total_tokens": 70.0,
	}
	if diff := cmp.Diff(usage, r.json["usage"]); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	if r.text("output_file_id") != "file-01jnfh0000000000000000000a" || r.text("error_file_id") != "file-01jnfh0000000000000000000b" {
		t.Errorf("files are %v, %v", r.json["output_file_id"], r.json["error_file_id"])
	}
	if r.number("finalizing_at") != w.clock().Unix() || r.number("expired_at") != w.clock().Unix() {
		t.Error("times are missing")
	}
	w.advance(30*24*time.Hour - time.Second)
	w.get("/v1/batches/" + id).want(200)
	w.advance(time.Second)
	w.get("/v1/batches/"+id).refused(404, "", "", "No batch found with id '"+id+"'.")
	if ids := w.get("/v1/batches").ids(); len(ids) != 0 {
		t.Errorf("a batch past its life is listed: %v", ids)
	}
}

// TestCountsBeforeTheFirstRequest has a batch be cancelled while it is loaded,
// and given up: it counts none at its end, so it must not show any before.
func TestCountsBeforeTheFirstRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	for _, step := range []func(b *batch.Batch) error{
		func(b *batch.Batch) error { return b.Validated(5) },
		func(b *batch.Batch) error { return b.Cancel(w.clock()) },
		func(b *batch.Batch) error {
			return b.Fail(batch.FailNow, batch.InternalError("It could not be loaded."), w.clock())
		},
	} {
		w.change(id, func(b *batch.Batch) {
			if err := step(b); err != nil {
				t.Error(err)
			}
		})
		r := w.get("/v1/batches/" + id).want(200).suits("Batch")
		if c, _ := r.json["request_counts"].(map[string]any); c["total"] != 0.0 {
			t.Errorf("%s: counts are %v", r.text("status"), c)
		}
	}
}

func TestRefusedBatchNamesItsErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	w.change(id, func(b *batch.Batch) {
		err := b.Fail(batch.FailInput, []batch.LineError{
			{Code: "invalid_json_line", Line: 3, Message: "This line is not parseable as valid JSON."},
			{Code: "empty_file", Message: "The input file is empty."},
			{Code: "missing_required_parameter", Line: 4, Param: "custom_id", Message: "Missing."},
		}, w.clock())
		if err != nil {
			t.Error(err)
		}
	})
	r := w.get("/v1/batches/" + id).want(200).suits("Batch")
	want := map[string]any{"object": "list", "data": []any{
		map[string]any{
			"code": "invalid_json_line", "line": 3.0, "param": nil, "message": "This line is not parseable as valid JSON.",
		},
		map[string]any{"code": "empty_file", "line": nil, "param": nil, "message": "The input file is empty."},
		map[string]any{"code": "missing_required_parameter", "line": 4.0, "param": "custom_id", "message": "Missing."},
	}}
	if diff := cmp.Diff(want, r.json["errors"]); diff != "" || r.text("status") != "failed" {
		t.Error(diff, r.text("status"))
	}
}

func TestListBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.get("/v1/batches").want(200).suits("ListBatchesResponse")
	if r.json["first_id"] != nil || r.json["has_more"] != false || len(r.ids()) != 0 {
		t.Errorf("an empty list is %v", r.json)
	}
	var newest []string
	for range 25 {
		w.advance(time.Second)
		id, _ := w.order(w.alice)
		newest = append([]string{id}, newest...)
	}
	w.order(w.bob)
	for query, want := range map[string]struct {
		from, to int
		more     bool
	}{
		"": {0, 20, true}, "?limit=100": {0, 25, false}, "?limit=25": {0, 25, false}, "?limit=1": {0, 1, true},
		"?after=" + newest[19]: {20, 25, false}, "?limit=3&after=" + newest[4]: {5, 8, true},
	} {
		r := w.get("/v1/batches" + query).want(200).suits("ListBatchesResponse")
		if diff := cmp.Diff(newest[want.from:want.to], r.ids()); diff != "" || r.json["has_more"] != want.more {
			t.Errorf("%s: has_more is %v: %s", query, r.json["has_more"], diff)
		}
	}
	// Pages neither miss nor repeat while batches are being made.
	var paged []string
	for after := ""; ; {
		r := w.get("/v1/batches?limit=4&after=" + after).want(200)
		paged = append(paged, r.ids()...)
		w.advance(time.Second)
		w.order(w.alice)
		if r.json["has_more"] != true {
			break
		}
		after = r.text("last_id")
	}
	if !slices.Equal(paged, newest) {
		t.Errorf("pages are %v", paged)
	}
	for query, param := range map[string]string{
		"?limit=0": "limit", "?limit=101": "limit", "?limit=-1": "limit", "?limit=x": "limit",
		"?after=file-01jnfh0000000000000000000a": "after", "?after=zzz": "after",
	} {
		w.get("/v1/batches"+query).refused(400, param, "*", "")
	}
}

func TestCancelBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	cancel := func() reply {
		return w.ask(ask{method: "POST", path: "/v1/batches/" + id + "/cancel", key: w.alice, kind: "application/json"})
	}
	w.change(id, func(b *batch.Batch) { b.Token = "token" })
	r := cancel().want(200).suits("Batch")
	if r.text("status") != "cancelling" || r.number("cancelling_at") != w.clock().Unix() {
		t.Errorf("the batch is %v", r.json)
	}
	if diff := cmp.Diff([]string{"token"}, w.flow.Wakes()); diff != "" {
		t.Error(diff)
	}
	cancel().want(200) // wakes again: the first wake may have been lost
	if n := len(w.flow.Wakes()); n != 2 {
		t.Errorf("woken %d times, want 2", n)
	}
	w.change(id, func(b *batch.Batch) { b.Status, b.CanceledAt, b.Token = batch.StatusCanceled, w.clock(), "" })
	if got := cancel().want(200).text("status"); got != "cancelled" {
		t.Errorf("status is %s", got)
	}
	for _, status := range []batch.Status{batch.StatusCompleted, batch.StatusFailed, batch.StatusExpired} {
		w.change(id, func(b *batch.Batch) { b.Status, b.CompletedAt = status, w.clock() })
		cancel().refused(409, "", "", "Cannot cancel a batch with status '"+string(status)+"'.")
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.upload(w.alice, line)
	create := func(key, body string, header ...string) reply {
		a := ask{method: "POST", path: "/v1/batches", key: key, kind: "application/json", body: body, header: map[string]string{}}
		for i := 0; i < len(header); i += 2 {
			a.header[header[i]] = header[i+1]
		}
		return w.ask(a)
	}
	plain := orderOf(file)
	first := create(w.alice, plain).want(200).text("id")
	if second := create(w.alice, plain).want(200).text("id"); second == first {
		t.Error("two equal orders without a key are one batch")
	}

	keyed := create(w.alice, plain, "Idempotency-Key", "k1").want(200).text("id")
	w.advance(24 * time.Hour)
	for _, again := range []reply{
		create(w.alice, plain, "Idempotency-Key", "k1"),
		create(w.alice, strings.Replace(plain, "{", `{"idempotency_key":"k1",`, 1)),
	} {
		if id := again.want(200).text("id"); id != keyed {
			t.Errorf("a repeated key makes %s, want %s", id, keyed)
		}
	}
	other := strings.Replace(plain, "24h", "1h", 1)
	create(w.alice, other, "Idempotency-Key", "k1").refused(409, "", "idempotency_key_reused", "other parameters")
	if id := create(w.alice, other, "Idempotency-Key", "k2").want(200).text("id"); id == keyed {
		t.Error("another key is the same batch")
	}

	sent := create(w.alice, plain, "X-Stainless-Retry-Count", "0").want(200).text("id")
	w.advance(10 * time.Minute)
	if id := create(w.alice, plain, "X-Stainless-Retry-Count", "1").want(200).text("id"); id != sent {
		t.Errorf("an SDK's repeat makes %s, want %s", id, sent)
	}
	if id := create(w.alice, other, "X-Stainless-Retry-Count", "1").want(200).text("id"); id == sent {
		t.Error("a repeat of another order is the same batch")
	}
	w.advance(10 * time.Minute)
	if id := create(w.alice, plain, "X-Stainless-Retry-Count", "1").want(200).text("id"); id == sent {
		t.Error("an order is recognised for longer than minutes")
	}
	theirs := w.upload(w.bob, line)
	if id := create(w.bob, orderOf(theirs), "Idempotency-Key", "k1").want(200).text("id"); id == keyed {
		t.Error("another tenant's key is the same batch")
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if diff := cmp.Diff([]string{"fast", "vendor/slow"}, w.get("/v1/models").want(200).ids()); diff != "" {
		t.Error(diff)
	}
	if got := w.get("/v1/models/vendor/slow").want(200).text("id"); got != "vendor/slow" {
		t.Errorf("the model is %s", got)
	}
	w.get("/v1/models/none").refused(404, "model", "model_not_found", "The model 'none' does not exist.")
}

// TestModelsOfRoutes shows the patterns that are names besides the configured models, each once.
func TestModelsOfRoutes(t *testing.T) {
	t.Parallel()
	table := route.NewTable(route.Model{Pattern: "vendor/slow"}, route.Model{Pattern: "gpt-4o*"}, route.Model{Pattern: "gpt-4o"},
		route.Model{Pattern: "a/model"}, route.DefaultModel("https://api.example.com/v1", false))
	w := newWorld(t, func(d *api.Deps, _ *api.Config) { d.Models = table.Now })
	want := []string{"fast", "vendor/slow", "a/model", "gpt-4o"}
	if diff := cmp.Diff(want, w.get("/v1/models").want(200).ids()); diff != "" {
		t.Error(diff)
	}
	if got := w.get("/v1/models/a/model").want(200).text("id"); got != "a/model" {
		t.Errorf("the model is %s", got)
	}
	w.get("/v1/models/gpt-4o-mini").refused(404, "model", "model_not_found", "The model 'gpt-4o-mini' does not exist.")
	unread := newWorld(t, func(d *api.Deps, _ *api.Config) {
		d.Models = func(context.Context) (route.Table, error) { return route.Table{}, errors.New("no answer") }
	})
	unread.get("/v1/models").want(500)
}

// TestModelsOfAnyName asks as a client does that escapes the name, and as one
// that leaves its slashes.
func TestModelsOfAnyName(t *testing.T) {
	t.Parallel()
	names := []string{"a/b", "a//b", "/a/", "a b", "100%", "a%2Fb", "#1", "a?b", "..", "../files", "é", "org/../a;b+c"}
	w := newWorld(t, func(_ *api.Deps, c *api.Config) { c.Models = names })
	for _, name := range names {
		path := "/v1/models/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E") // which nobody tidies
		if got := w.get(path).want(200).text("id"); got != name {
			t.Errorf("%q is %q", name, got)
		}
	}
	for _, path := range []string{"a/b", "a/b/", "a%2fb", "%61/b"} {
		if got := w.get("/v1/models/" + path).want(200).text("id"); got != "a/b" {
			t.Errorf("%s is %q", path, got)
		}
	}
}

// failing is a store that answers nothing.
type failing struct {
	api.BatchStore
	err error
}

func (f failing) Batch(context.Context, batch.Ref) (batch.Batch, error) { return batch.Batch{}, f.err }

func (f failing) Batches(context.Context, string, string, int) ([]batch.Batch, bool, error) {
	panic("secret body")
}

func TestFailuresAreOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *api.Deps, _ *api.Config) { d.Batches = failing{err: errStore} })
	const id = "/v1/batches/batch_01jnfh0000000000000000000g"
	w.get(id).refused(500, "", "", "failed to answer")
	w.get("/v1/batches").refused(500, "", "", "failed to answer")
	if !strings.Contains(w.log.String(), errStore.Error()) || !strings.Contains(w.log.String(), "panic: string") ||
		!strings.Contains(w.log.String(), "batches.go") {
		t.Errorf("the log does not say why: %s", w.log)
	}
	if strings.Contains(w.log.String(), "secret") {
		t.Error("the log quotes what panicked")
	}
	w = newWorld(t, func(d *api.Deps, _ *api.Config) { d.Batches = failing{err: batch.ErrBusy} })
	r := w.get(id)
	r.refused(503, "", "busy", "Try again")
	if r.Header().Get("Retry-After") != "1" || r.Header().Get("X-Should-Retry") != "true" {
		t.Errorf("headers are %v", r.Header())
	}
}

// TestModelOfABatch names the one model that all lines of a batch name, and none of several.
func TestModelOfABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for want, names := range map[string][]string{"m": {"m", "m"}, "": {"m", "n"}, "-": nil} {
		id, _ := w.running("a")
		b := w.stored(id)
		_, err := w.store.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
			var set batch.ModelSet
			for _, name := range names {
				set.Add(name)
			}
			b.Load.Validated = false
			b.NameModels(set)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := w.get("/v1/batches/" + id).want(200).json["model"].(string); got != strings.Trim(want, "-") {
			t.Errorf("the model of %q is %q", names, got)
		}
	}
}
