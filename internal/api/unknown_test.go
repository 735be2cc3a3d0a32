package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

// TestUnknownParametersAreRefused sends every operation of the document a parameter too many, in its query and in its body:
// each is refused by its name, and those that the document has never are.
func TestUnknownParametersAreRefused(t *testing.T) {
	t.Parallel()
	d, err := readDocument()
	if err != nil {
		t.Fatal(err)
	}
	paths, _ := d.raw["paths"].(map[string]any)
	tried := 0
	for path, v := range paths {
		operations, _ := v.(map[string]any)
		for method, operation := range operations {
			if path == "/openapi.json" { // for anyone, before anything is looked at
				continue
			}
			tried++
			t.Run(method+" "+path, func(t *testing.T) {
				t.Parallel()
				tryUnknown(t, d, strings.ToUpper(method), path, operation.(map[string]any))
			})
		}
	}
	if tried < 20 {
		t.Errorf("%d operations were tried", tried)
	}
}

func tryUnknown(t *testing.T, d *documented, method, path string, operation map[string]any) {
	t.Helper()
	w := newWorld(t)
	at := "/v1" + pathOf(t, w, path)
	send := func(query, kind, body string) reply {
		return w.ask(ask{method: method, path: at + query, key: w.alice, kind: kind, body: body})
	}
	send("?no_such=1", "", "").refused(400, "no_such", "unknown_parameter", "Unknown parameter: 'no_such'.")
	for _, name := range d.queryOf(operation) {
		if r := send("?"+name+"=x", "", ""); strings.Contains(r.errorMessage(), "Unknown parameter") {
			t.Errorf("%s is documented, and unknown", name)
		}
	}
	if r := send("?api-version=2024-10-21", "application/json", ""); strings.Contains(r.errorMessage(), "Unknown parameter") {
		t.Errorf("a parameter of Azure's is unknown: %s", r.errorMessage())
	}
	if method != http.MethodPost {
		return
	}
	kind, names := d.bodyOf(operation)
	if kind == "multipart/form-data" {
		body, kind := formOf(t, "a.jsonl", line, "no_such", "1")
		send("", kind, strings.Replace(body, `name="file"`, `name="`+names[0]+`"`, 1)).
			refused(400, "no_such", "unknown_parameter", "Unknown parameter: 'no_such'.")
		for _, name := range names[1:] {
			body, kind := formOf(t, "a.jsonl", line, name, "1")
			if r := send("", kind, body); strings.Contains(r.errorMessage(), "Unknown parameter") {
				t.Errorf("%s is documented, and unknown", name)
			}
		}
		return
	}
	send("", "application/json", `{"no_such":1}`).refused(400, "no_such", "unknown_parameter", "Unknown parameter: 'no_such'.")
	for _, name := range names {
		if r := send("", "application/json", fmt.Sprintf(`{%q:1}`, name)); strings.Contains(r.errorMessage(), "Unknown parameter") {
			t.Errorf("%s is documented, and unknown", name)
		}
	}
}

// pathOf returns path with the ids of objects that an operation can be tried on.
func pathOf(t *testing.T, w *world, path string) string {
	t.Helper()
	id := "x"
	switch {
	case strings.HasPrefix(path, "/batches/"):
		id, _ = w.order(w.alice)
		if strings.HasSuffix(path, "/retry") {
			w.change(id, func(b *batch.Batch) {
				b.Status, b.CompletedAt, b.Counts = batch.StatusCompleted, w.clock(), batch.Counts{Total: 1, Failed: 1}
			})
		}
	case strings.HasPrefix(path, "/uploads/"):
		id = w.post("/v1/uploads", uploadOf(len(line))).want(200).text("id")
	case strings.HasPrefix(path, "/files/"):
		id = w.upload(w.alice, line)
	}
	return strings.NewReplacer("{id}", id, "{request_id}", requestID(id, 1)).Replace(path)
}

// queryOf returns the names of an operation's query parameters.
func (d *documented) queryOf(operation map[string]any) []string {
	var names []string
	list, _ := operation["parameters"].([]any)
	for _, v := range list {
		p := d.resolve(v)
		if p["in"] == "query" {
			names = append(names, p["name"].(string))
		}
	}
	return names
}

// bodyOf returns an operation's Content-Type and the names of its body's fields, a file's first.
func (d *documented) bodyOf(operation map[string]any) (kind string, names []string) {
	body, _ := operation["requestBody"].(map[string]any)
	content, _ := body["content"].(map[string]any)
	for kind, v := range content {
		schema := d.resolve(v.(map[string]any)["schema"])
		properties, _ := schema["properties"].(map[string]any)
		names := slices.Sorted(maps.Keys(properties))
		slices.SortStableFunc(names, func(a, b string) int {
			return strings.Compare(fmt.Sprint(d.resolve(properties[b])["format"]), fmt.Sprint(d.resolve(properties[a])["format"]))
		})
		return kind, names
	}
	return "", nil
}

func (d *documented) resolve(v any) map[string]any {
	object, _ := v.(map[string]any)
	if ref, ok := object["$ref"].(string); ok {
		object, _ = d.find(ref)
	}
	return object
}

// TestUnknownParametersNameTheNearest has what people mistype and what other services have.
func TestUnknownParametersNameTheNearest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.upload(w.alice, line)
	batchWith := func(name, value string) string {
		return strings.TrimSuffix(orderOf(file), "}") + fmt.Sprintf(`,%q:%s}`, name, value)
	}
	for name, near := range map[string]string{
		"metdata": "metadata", "meta_data": "metadata", "Metadata": "metadata", "completionWindow": "completion_window",
		"completion-window": "completion_window", "input_file": "input_file_id", "output_expire_after": "output_expires_after",
		"idempotencykey": "idempotency_key", "endpoints": "endpoint",
	} {
		w.post("/v1/batches", batchWith(name, `"x"`)).
			refused(400, name, "unknown_parameter", "Unknown parameter: '"+name+"'. Did you mean '"+near+"'?")
	}
	for _, name := range []string{"model", "priority", "webhook", "", strings.Repeat("x", 60)} {
		r := w.post("/v1/batches", batchWith(name, `"x"`))
		r.refused(400, name, "unknown_parameter", "Known here: 'input_file_id', 'endpoint'")
		if strings.Contains(r.errorMessage(), "Did you mean") {
			t.Errorf("%q: %s", name, r.errorMessage())
		}
	}
	w.post("/v1/batches", batchWith("output_expires_after", `{"anchor":"created_at","secs":3600}`)).
		refused(400, "output_expires_after.secs", "unknown_parameter", "Did you mean 'output_expires_after.seconds'?")
	for name, near := range map[string]string{
		"expires_after[secnds]": "expires_after[seconds]", "expires_after.secnds": "expires_after[seconds]",
		"expires_after[anchors]": "expires_after[anchor]", "purposes": "purpose", "files": "file", "expires_afte": "expires_after",
	} {
		body, kind := formOf(t, "a.jsonl", line, "purpose", "batch", name, "3600")
		w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).
			refused(400, "*", "unknown_parameter", "Did you mean '"+near+"'?")
	}
	body, kind := formOf(t, "a.jsonl", line, "purpose", "batch", "expires_after", `{"anchor":"created_at","second":3600}`)
	w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).
		refused(400, "expires_after.second", "unknown_parameter", "Did you mean 'expires_after.seconds'?")
	w.get("/v1/files?limits=2").refused(400, "limits", "unknown_parameter", "Did you mean 'limit'?")
	w.get("/v1/batches?before=batch_1").refused(400, "before", "unknown_parameter", "Known here: 'status', 'search', 'after', 'limit'")
	w.get("/v1/batches?order=asc").refused(400, "order", "unknown_parameter", "'order'")
	w.get("/v1/files/"+file+"?a=1&b=2").refused(400, "a", "unknown_parameter", "None is known here.")
	w.get("/v1/files/"+file+"?a=%zz").refused(400, "", "invalid_query", "cannot be read")
	if ids := w.get("/v1/batches").ids(); len(ids) != 0 {
		t.Errorf("a refused order made %v", ids)
	}
	// What other services' clients send asks for nothing, and nobody is kept from it.
	for _, name := range []string{"custom_llm_provider", "target_model_names", "api-version"} {
		w.post("/v1/batches", batchWith(name, `"x"`)).want(200)
	}
}

// TestCancelTakesNoParameters demands that what a client sends along with a cancel is nothing, or refused.
func TestCancelTakesNoParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	path := "/v1/batches/" + id + "/cancel"
	w.post(path, `{"reason":"late"}`).refused(400, "reason", "unknown_parameter", "None is known here.")
	w.post(path, `[]`).refused(400, "", "invalid_json", "not a JSON object")
	w.ask(ask{method: "POST", path: path, key: w.alice, kind: "text/plain", body: "now"}).refused(415, "", "unsupported_content_type", "")
	if got := w.get("/v1/batches/" + id).text("status"); got != "validating" {
		t.Errorf("a refused cancel made the batch %s", got)
	}
	for _, body := range []string{"", " \n", "{}", `{"custom_llm_provider":"openai"}`} {
		w.post(path, body).want(200)
	}
	w.ask(ask{method: "POST", path: path, key: w.alice, kind: "application/x-www-form-urlencoded"}).want(200)
	w.chunked(ask{method: "POST", path: path, key: w.alice, kind: "application/json"}).want(200)
}

// A body of very many unknown names is refused at the first.
func TestManyUnknownNamesCostNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	many := map[string]int{}
	for i := range 50_000 {
		many[fmt.Sprintf("n%d", i)] = i
	}
	body, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	w.post("/v1/batches", string(body)).refused(400, "*", "unknown_parameter", "Unknown parameter: 'n")
}
