package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/submit"
)

// A seen is what a handler saw of a request.
type seen struct {
	Method, Path, Escaped, Host, Remote string
	Query                               url.Values
	Header                              http.Header
	Body                                string
}

// send has the handler as Lambda runs it answer a payload.
func send(t *testing.T, h handler, payload string) (map[string]any, error) {
	t.Helper()
	raw, err := lambda.NewHandler(h.handle).Invoke(t.Context(), []byte(payload))
	if err != nil {
		return nil, err
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("the answer is no JSON: %s", raw)
	}
	return out, nil
}

// TestEventsOfEveryGateway has the events that gateways were seen to make.
func TestEventsOfEveryGateway(t *testing.T) {
	t.Parallel()
	form := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{\"é\":\"\xff\"}\n\r\n--B--\r\n"
	for name, c := range map[string]struct {
		payload string
		want    seen
	}{
		"AWS, JSON": {
			`{"resource":"/{proxy+}","path":"/batches","httpMethod":"POST",
			"headers":{"Authorization":"Bearer k","Content-Type":"application/json","Host":"x.execute-api.test"},
			"multiValueHeaders":{"Authorization":["Bearer k"],"Content-Type":["application/json"],"Host":["x.execute-api.test"]},
			"queryStringParameters":null,"multiValueQueryStringParameters":null,"pathParameters":{"proxy":"batches"},
			"stageVariables":null,"requestContext":{"stage":"v1","path":"/v1/batches","identity":{"sourceIp":"192.0.2.1"}},
			"body":"{\"a\":1}","isBase64Encoded":false}`,
			seen{
				Method: "POST", Path: "/batches", Escaped: "/batches", Host: "x.execute-api.test", Remote: "192.0.2.1", Query: url.Values{},
				Header: http.Header{"Authorization": {"Bearer k"}, "Content-Type": {"application/json"}}, Body: `{"a":1}`,
			},
		},
		"lower-case names, a form in base64": {
			`{"path":"/files","httpMethod":"POST","headers":{"authorization":"Bearer k",
			"content-type":"multipart/form-data; boundary=B","x-stainless-retry-count":"1"},
			"isBase64Encoded":true,"body":"` + base64.StdEncoding.EncodeToString([]byte(form)) + `"}`,
			seen{
				Method: "POST", Path: "/files", Escaped: "/files", Query: url.Values{}, Body: form, Header: http.Header{
					"Authorization": {"Bearer k"}, "Content-Type": {"multipart/form-data; boundary=B"},
					"X-Stainless-Retry-Count": {"1"},
				},
			},
		},
		"names in both cases": {
			`{"path":"/files","httpMethod":"GET","headers":{"Accept":"b"},"multiValueHeaders":{"accept":["a","b"]}}`,
			seen{Method: "GET", Path: "/files", Escaped: "/files", Query: url.Values{}, Header: http.Header{"Accept": {"a", "b"}}},
		},
		"query": {
			`{"path":"/files","httpMethod":"GET","queryStringParameters":{"limit":"2","after":"b c&d","x":"2"},
			"multiValueQueryStringParameters":{"limit":["2"],"after":["b c&d"],"x":["1","2"]}}`,
			seen{
				Method: "GET", Path: "/files", Escaped: "/files", Header: http.Header{},
				Query: url.Values{"limit": {"2"}, "after": {"b c&d"}, "x": {"1", "2"}},
			},
		},
		// As captured from a REST API (docs/aws.md).
		"an escaped path": {
			`{"path":"/capture/space%20value","httpMethod":"GET","queryStringParameters":{"encodedPlus":"a+b",
			"literalPlus":"a b","repeat":"two"},"multiValueQueryStringParameters":{"encodedPlus":["a+b"],
			"literalPlus":["a b"],"repeat":["one","two"]},"body":null}`,
			seen{
				Method: "GET", Path: "/capture/space value", Escaped: "/capture/space%20value", Header: http.Header{},
				Query: url.Values{"encodedPlus": {"a+b"}, "literalPlus": {"a b"}, "repeat": {"one", "two"}},
			},
		},
		// A custom domain's base path is before what the gateway found its resource
		// by (docs/aws.md).
		"a custom domain": {
			`{"resource":"/{proxy+}","path":"/llm/batches/batch_1/cancel","httpMethod":"GET",
			"pathParameters":{"proxy":"batches/batch_1/cancel"},
			"requestContext":{"resourcePath":"/{proxy+}","path":"/llm/batches/batch_1/cancel","stage":"v1","domainName":"api.example.com"}}`,
			seen{
				Method: "GET", Path: "/batches/batch_1/cancel", Escaped: "/batches/batch_1/cancel", Header: http.Header{}, Query: url.Values{},
			},
		},
		"a custom domain, a resource of its own": {
			`{"resource":"/files/{id}","path":"/a/b/files/file-1","httpMethod":"DELETE","pathParameters":{"id":"file-1"}}`,
			seen{Method: "DELETE", Path: "/files/file-1", Escaped: "/files/file-1", Header: http.Header{}, Query: url.Values{}},
		},
		"a custom domain's root": {
			`{"resource":"/","path":"/llm","httpMethod":"GET","pathParameters":null}`,
			seen{Method: "GET", Path: "/", Escaped: "/", Header: http.Header{}, Query: url.Values{}},
		},
		"a custom domain, an escaped path": {
			`{"resource":"/{proxy+}","path":"/llm/models/a%2Fb%20c","httpMethod":"GET","pathParameters":{"proxy":"models/a%2Fb%20c"}}`,
			seen{Method: "GET", Path: "/models/a/b c", Escaped: "/models/a%2Fb%20c", Header: http.Header{}, Query: url.Values{}},
		},
		"a custom domain, parameters that are not escaped": {
			`{"resource":"/{proxy+}","path":"/llm/models/a%2Fb%20c","httpMethod":"GET","pathParameters":{"proxy":"models/a/b c"}}`,
			seen{Method: "GET", Path: "/models/a/b c", Escaped: "/models/a%2Fb%20c", Header: http.Header{}, Query: url.Values{}},
		},
		"a path that looks like a base path": {
			`{"resource":"/{proxy+}","path":"/llm/batches","httpMethod":"GET","pathParameters":{"proxy":"llm/batches"}}`,
			seen{Method: "GET", Path: "/llm/batches", Escaped: "/llm/batches", Header: http.Header{}, Query: url.Values{}},
		},
		"a path that says the resource twice": {
			`{"resource":"/{proxy+}","path":"/batches/batches","httpMethod":"GET","pathParameters":{"proxy":"batches/batches"}}`,
			seen{Method: "GET", Path: "/batches/batches", Escaped: "/batches/batches", Header: http.Header{}, Query: url.Values{}},
		},
		"a custom domain, a slash at the end": {
			`{"resource":"/{proxy+}","path":"/llm/batches/","httpMethod":"GET","pathParameters":{"proxy":"batches"}}`,
			seen{Method: "GET", Path: "/batches/", Escaped: "/batches/", Header: http.Header{}, Query: url.Values{}},
		},
		"a resource that is not the path's": {
			`{"resource":"/files/{id}","path":"/batches","httpMethod":"GET","pathParameters":{"id":"1"}}`,
			seen{Method: "GET", Path: "/batches", Escaped: "/batches", Header: http.Header{}, Query: url.Values{}},
		},
		"a path escaped twice": {
			`{"path":"/models/a%252Fb%25","httpMethod":"GET"}`,
			seen{
				Method: "GET", Path: "/models/a%2Fb%", Escaped: "/models/a%252Fb%25", Query: url.Values{}, Header: http.Header{},
			},
		},
		"a path with a slash in a segment": {
			`{"path":"/models/a%2fb%3F%23/%C3%BC+[;]","httpMethod":"GET"}`,
			seen{
				Method: "GET", Path: "/models/a/b?#/ü+[;]", Escaped: "/models/a%2fb%3F%23/%C3%BC+[;]", Query: url.Values{},
				Header: http.Header{},
			},
		},
		"a path that is not escaped": {
			`{"path":"/models/100%?","httpMethod":"GET"}`,
			seen{Method: "GET", Path: "/models/100%?", Escaped: "/models/100%25%3F", Query: url.Values{}, Header: http.Header{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got seen
			h := handler{after: func() {}, api: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = seen{r.Method, r.URL.Path, r.URL.EscapedPath(), r.Host, r.RemoteAddr, r.URL.Query(), r.Header, string(body)}
				if r.ContentLength != int64(len(body)) {
					t.Errorf("the length is %d, want %d", r.ContentLength, len(body))
				}
			})}
			if _, err := send(t, h, c.payload); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	h := handler{after: func() {}, api: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "req_1")
		w.Header()["Vary"] = []string{"Origin", "Accept"}
		w.Header().Set("Content-Length", "7")
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/text":
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
			w.Header().Set("X-Late", "1")
			_, _ = io.WriteString(w, "{\"<é>\":\u2028}")
		case "/bytes":
			_, _ = io.WriteString(w, "\xff\xfe")
		}
	})}
	headers := map[string]any{"X-Request-Id": "req_1", "Content-Type": "application/json"}
	many := map[string]any{"Vary": []any{"Origin", "Accept"}}
	for path, want := range map[string]map[string]any{
		"/text": {"statusCode": 418.0, "headers": headers, "multiValueHeaders": many, "body": "{\"<é>\":\u2028}"},
		"/bytes": {
			"statusCode": 200.0, "headers": headers, "multiValueHeaders": many, "body": "//4=", "isBase64Encoded": true,
		},
		"/nothing": {"statusCode": 200.0, "headers": headers, "multiValueHeaders": many, "body": ""},
	} {
		got, err := send(t, h, `{"httpMethod":"GET","path":"`+path+`"}`)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestLoadTask(t *testing.T) {
	t.Parallel()
	failure := error(nil)
	var got submit.Task
	h := handler{after: func() {}, load: func(_ context.Context, task submit.Task) (submit.Next, error) {
		got = task
		return submit.NextLoad, failure
	}}
	record := batch.Batch{Ref: batch.Ref{Tenant: "alice", ID: "batch_1"}, Window: "24h", Metadata: map[string]string{"a": "b"}}
	raw, err := batch.EncodeRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	payload := `{"task":"load","tenant":"alice","batch":"batch_1","record":` + string(raw) + `}`
	out, err := send(t, h, payload)
	if diff := cmp.Diff(map[string]any{"tenant": "alice", "batch": "batch_1", "next": "load"}, out); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if diff := cmp.Diff(submit.Task{Ref: record.Ref, Record: &record}, got); diff != "" {
		t.Error(diff)
	}
	for _, ids := range []string{
		`{"version":1,"task":"load","tenant":"alice","batch":"batch_1"}`,
		`{"task":"load","tenant":"alice","batch":"batch_1","record":null}`, // of an older definition, started by this code
	} {
		out, err = send(t, h, ids)
		if diff := cmp.Diff(map[string]any{"tenant": "alice", "batch": "batch_1", "next": "load"}, out); diff != "" || err != nil {
			t.Error(err, diff)
		}
		if diff := cmp.Diff(submit.Task{Ref: record.Ref}, got); diff != "" {
			t.Error(diff)
		}
	}
	failure = submit.ErrSlow
	if _, err := send(t, h, payload); !errors.Is(err, submit.ErrSlow) {
		t.Errorf("error is %v", err)
	}
	for _, payload := range []string{`{}`, `{"task":"advance"}`, `{"task":"load"}`, `{"task":"load","tenant":"alice"}`, `{"task":"load","record":{}}`, `[]`} {
		if _, err := send(t, h, payload); err == nil {
			t.Errorf("%s was taken", payload)
		}
	}
	if _, err := send(t, handler{after: func() {}}, `{"httpMethod":"POST","path":"/","isBase64Encoded":true,"body":"?"}`); err == nil {
		t.Error("a body that is no base64 was taken")
	}
}

// TestStreamsCompletionIsTaken has the invocation that was seen after a streamed
// answer. It is no request: nothing is asked, and nothing failed.
func TestStreamsCompletionIsTaken(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"invokeCompletionStatus":"SUCCESS"}`, `{"invokeCompletionStatus":"ERROR","requestId":"r"}`, `{"invokeCompletionStatus":{"code":200}}`,
	} {
		out, err := send(t, handler{after: func() {}}, payload)
		if err != nil || len(out) != 0 {
			t.Errorf("%s is answered with %v, %v", payload, out, err)
		}
	}
	if _, err := send(t, handler{after: func() {}}, `{"task":"advance","invokeCompletionStatus":"SUCCESS"}`); err == nil {
		t.Error("a task that is unknown was taken")
	}
}

// TestEraseTask has the schedule's task.
func TestEraseTask(t *testing.T) {
	t.Parallel()
	calls, failure := 0, error(nil)
	h := handler{after: func() {}, erase: func(context.Context) error { calls++; return failure }}
	if out, err := send(t, h, `{"task":"erase"}`); err != nil || len(out) != 0 || calls != 1 {
		t.Errorf("after %d calls it answers %v, %v", calls, out, err)
	}
	failure = errors.New("down")
	if _, err := send(t, h, `{"task":"erase"}`); err == nil {
		t.Error("a failure was not told")
	}
}

// TestRoom holds room against what the Lambda runtime really writes.
func TestRoom(t *testing.T) {
	t.Parallel()
	size := func(body []byte) int {
		h := handler{after: func() {}, api: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })}
		raw, err := lambda.NewHandler(h.handle).Invoke(context.Background(), []byte(`{"httpMethod":"GET","path":"/"}`))
		if err != nil {
			t.Fatal(err)
		}
		return len(raw)
	}
	empty, binary := size(nil), size([]byte{0xff})-4
	rapid.Check(t, func(rt *rapid.T) {
		body := []byte(rapid.String().Draw(rt, "text"))
		if rapid.Bool().Draw(rt, "bytes") {
			body = rapid.SliceOf(rapid.Byte()).Draw(rt, "body")
		}
		frame := empty
		if !bytes.Equal(bytes.ToValidUTF8(body, nil), body) {
			frame = binary
		}
		if got, want := room(body), size(body)-frame; got != want {
			rt.Fatalf("%q takes %d bytes, room says %d", body, want, got)
		}
	})
}

// TestForms has a multipart body survive the way through an event.
func TestFormsSurvive(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	part, err := m.CreateFormFile("file", "in.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("\x1f\x8b\x00\xff", 1000)
	if _, err := io.WriteString(part, content); err != nil || m.Close() != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{
		"httpMethod": "POST", "path": "/files", "isBase64Encoded": true,
		"body": base64.StdEncoding.EncodeToString(b.Bytes()), "headers": map[string]string{"content-type": m.FormDataContentType()},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := handler{after: func() {}, api: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
		}
		got, err := multipart.NewReader(r.Body, params["boundary"]).NextPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got)
		if err != nil || string(body) != content {
			t.Errorf("the file differs: %v", err)
		}
	})}
	if _, err := send(t, h, string(payload)); err != nil {
		t.Fatal(err)
	}
}

// TestCallerIsTheGatewaysWord demands that whom the log names is whom the
// gateway saw, whatever the caller says of itself.
func TestCallerIsTheGatewaysWord(t *testing.T) {
	t.Parallel()
	var got string
	h := handler{after: func() {}, api: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })}
	if _, err := send(t, h, `{"httpMethod":"GET","path":"/","headers":{"X-Forwarded-For":"203.0.113.9, 10.0.0.1",
		"Forwarded":"for=203.0.113.9","X-Real-Ip":"203.0.113.9"},"multiValueHeaders":{"X-Forwarded-For":["203.0.113.9"]},
		"requestContext":{"identity":{"sourceIp":"198.51.100.7"}}}`); err != nil {
		t.Fatal(err)
	}
	if got != "198.51.100.7" {
		t.Errorf("the caller is %s", got)
	}
}
