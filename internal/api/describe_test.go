package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestDocumentNamesEveryRoute asks for each path of the document with each
// method: those it has are served, and the others are refused.
func TestDocumentNamesEveryRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.ask(ask{method: http.MethodGet, path: "/v1/openapi.json"}).want(200)
	paths, _ := r.json["paths"].(map[string]any)
	var served []string
	for path, v := range paths {
		operations, _ := v.(map[string]any)
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if method == "GET" && strings.HasSuffix(path, "{custom_id}/cancel") {
				continue // it gets the request whose custom_id is x/cancel
			}
			named := strings.NewReplacer("{id}", "x", "{custom_id}", "x").Replace(path)
			code := w.ask(ask{method: method, path: "/v1" + named, key: w.alice}).Code
			_, documented := operations[strings.ToLower(method)]
			if documented == (code == http.StatusMethodNotAllowed) {
				t.Errorf("%s %s: documented %v, answered %d", method, path, documented, code)
			}
			if documented {
				served = append(served, method+" "+path)
			}
		}
	}
	// What the code routes, read from it, is what the document names.
	source, err := os.ReadFile("api.go")
	if err != nil {
		t.Fatal(err)
	}
	var routed []string
	for line := range strings.Lines(string(source)) {
		for _, prefix := range []string{`a.route("`, `a.mux.HandleFunc("`} {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
				pattern, _, _ := strings.Cut(rest, `"`)
				routed = append(routed, strings.Replace(pattern, "{id...}", "{id}", 1))
			}
		}
	}
	slices.Sort(served)
	slices.Sort(routed)
	if diff := cmp.Diff(routed, served); diff != "" {
		t.Errorf("routed (-), documented (+): %s", diff)
	}
}

// TestDocumentReferences demands that what the document refers to is there, and that what stands in its components to be
// shared is referred to.
func TestDocumentReferences(t *testing.T) {
	t.Parallel()
	d, err := readDocument()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, ref := range regexp.MustCompile(`"\$ref": "([^"]*)"`).FindAllStringSubmatch(string(content), -1) {
		named[ref[1]] = true
		if _, ok := d.find(ref[1]); !ok {
			t.Errorf("the document has no %s", ref[1])
		}
	}
	for _, kind := range []string{"schemas", "responses", "parameters", "headers"} {
		shared, ok := d.find("#/components/" + kind)
		if !ok {
			t.Errorf("the document has no %s: it is read wrongly", kind)
		}
		for name := range shared {
			if ref := "#/components/" + kind + "/" + name; !named[ref] {
				t.Errorf("nothing refers to %s", ref)
			}
		}
	}
}

// A documented finds what the document says of an answer.
type documented struct {
	raw      map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
}

var readDocument = sync.OnceValues(func() (*documented, error) {
	content, err := os.ReadFile("openapi.json")
	if err != nil {
		return nil, err
	}
	d := &documented{compiler: jsonschema.NewCompiler()}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := json.Unmarshal(content, &d.raw); err != nil {
		return nil, err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return d, d.compiler.AddResource("openapi.json", value)
})

// documented checks an answer of any route against the document.
func (r reply) documented(a ask) {
	r.t.Helper()
	d, err := readDocument()
	if err != nil {
		r.t.Fatal(err)
	}
	path, operation := d.operation(a)
	if operation == nil {
		return
	}
	responses, _ := operation["responses"].(map[string]any)
	status := strconv.Itoa(r.Code)
	if _, ok := responses[status]; !ok && r.Code >= 400 {
		status = "default"
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1").Replace
	pointer := "#/paths/" + escape(path) + "/" + strings.ToLower(a.method) + "/responses/" + status
	response, ok := responses[status].(map[string]any)
	if shared, isRef := response["$ref"].(string); isRef {
		pointer = shared
		response, ok = d.find(shared)
	}
	if !ok {
		r.t.Errorf("%s %s: the document has no %d", a.method, a.path, r.Code)
		return
	}
	kind := r.Header().Get("Content-Type")
	content, _ := response["content"].(map[string]any)
	if _, ok := content[kind]; !ok && kind != "" {
		r.t.Errorf("%s %s: the document has no %s for %d", a.method, a.path, kind, r.Code)
	}
	if kind != "application/json" {
		return
	}
	d.mu.Lock()
	schema, err := d.compiler.Compile("openapi.json" + pointer + "/content/" + escape(kind) + "/schema")
	d.mu.Unlock()
	if err != nil {
		r.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.Body.Bytes()))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		r.t.Errorf("%s %s: %d is not as documented: %v\n%.500s", a.method, a.path, r.Code, err, r.Body)
	}
}

// find returns what a reference within the document names. Names of ours have no character that JSON Pointer escapes.
func (d *documented) find(ref string) (map[string]any, bool) {
	at := d.raw
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		next, ok := at[name].(map[string]any)
		if !ok {
			return nil, false
		}
		at = next
	}
	return at, true
}

// operation returns the path and operation that a is a call of, nil if none.
func (d *documented) operation(a ask) (string, map[string]any) {
	bare, _, _ := strings.Cut(strings.TrimPrefix(a.path, "/v1"), "?")
	paths, _ := d.raw["paths"].(map[string]any)
	for path, v := range paths {
		want, got := strings.Split(path, "/"), strings.Split(strings.TrimSuffix(bare, "/"), "/")
		if len(want) != len(got) {
			continue
		}
		same := true
		for i := range want {
			same = same && (want[i] == got[i] || strings.HasPrefix(want[i], "{") && got[i] != "")
		}
		if !same {
			continue
		}
		operations, _ := v.(map[string]any)
		operation, _ := operations[strings.ToLower(a.method)].(map[string]any)
		return path, operation
	}
	return "", nil
}
