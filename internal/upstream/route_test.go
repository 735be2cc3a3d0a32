package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

// caught returns what is sent on one call of a route.
func caught(t *testing.T, cfg upstream.Config, r upstream.Request) (http.Header, string, error) {
	t.Helper()
	var header http.Header
	var body string
	cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		header = req.Header.Clone()
		sent, err := io.ReadAll(req.Body)
		if err != nil || int64(len(sent)) != req.ContentLength {
			t.Errorf("%d bytes are sent, %d announced, %v", len(sent), req.ContentLength, err)
		}
		body = string(sent)
		again, err := req.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if repeated, err := io.ReadAll(again); err != nil || string(repeated) != body {
			t.Errorf("sent again it is %q, %v", repeated, err)
		}
		return canned(200, "application/json", `{}`)(req)
	})
	r.Route.BaseURL = "https://host/v1"
	_, err := upstream.New(cfg).Call(t.Context(), r)
	return header, body, err
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	named := func(_ context.Context, ref string) (string, error) { return strings.ReplaceAll(ref, ":", "-"), nil }
	for name, tc := range map[string]struct {
		auth route.Auth
		want http.Header
	}{
		"none":   {route.Auth{Kind: route.None}, http.Header{}},
		"bearer": {route.Auth{Kind: route.Bearer, Key: "ssm:a"}, http.Header{"Authorization": {"Bearer ssm-a"}}},
		"header": {route.Auth{Kind: route.Header, Header: "api-key", Key: "ssm:b"}, http.Header{"Api-Key": {"ssm-b"}}},
	} {
		r := chat(`{}`)
		r.Route.Auth = tc.auth
		got, _, err := caught(t, upstream.Config{Key: named}, r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, other := range []string{"Accept", "Content-Type", "User-Agent", "Traceparent", "idempotency-key"} {
			delete(got, other)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// provided are AWS credentials.
type provided struct {
	aws.Credentials

	err error
}

func (p provided) Retrieve(context.Context) (aws.Credentials, error) { return p.Credentials, p.err }

// TestSigned looks at what a signature covers; localstack/standin/provider.TestSignatures holds it against another hand's.
func TestSigned(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }
	role := provided{Credentials: aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "the-session"}}
	r := chat(`{"model":"m"}`)
	r.Route.Auth = route.Auth{Kind: route.SigV4, Service: "bedrock", Region: "eu-central-1"}
	r.Route.Headers = map[string]string{"x-region": "eu"}
	r.Route.Model = "openai.gpt-oss-20b-1:0"
	got, _, err := caught(t, upstream.Config{Credentials: role, Now: now}, r)
	if err != nil {
		t.Fatal(err)
	}
	const want = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261126/eu-central-1/bedrock/aws4_request, " +
		"SignedHeaders=accept;content-length;content-type;host;x-amz-date;x-amz-security-token;x-region, Signature="
	if a := got.Get("Authorization"); !strings.HasPrefix(a, want) || len(a) != len(want)+64 {
		t.Errorf("Authorization: %s", a)
	}
	if got.Get("X-Amz-Security-Token") != "the-session" || got.Get("X-Amz-Date") != "20261126T120000Z" {
		t.Errorf("%v", got)
	}
	for name, cfg := range map[string]upstream.Config{
		"no credentials":     {Now: now},
		"credentials failed": {Now: now, Credentials: provided{err: errors.New("http://169.254.170.2/secret")}},
	} {
		_, _, err := caught(t, cfg, r)
		wantErr[*upstream.KeyError](t, err)
		if strings.Contains(err.Error(), "169.254") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSignatureIsConcealed has AWS's answer to a signature that does not match, which quotes what was signed.
func TestSignatureIsConcealed(t *testing.T) {
	t.Parallel()
	role := provided{Credentials: aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "the-session/1"}}
	c := upstream.New(upstream.Config{
		Credentials: role, Now: time.Now,
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return canned(403, "application/json", `{"message":"the canonical string should have been x-amz-security-token:`+
				r.Header.Get("X-Amz-Security-Token")+` … `+r.Header.Get("Authorization")+`"}`)(r)
		}),
	})
	r := chat(`{}`)
	r.Route = route.Route{BaseURL: "https://host/v1", Auth: route.Auth{Kind: route.SigV4, Service: "bedrock", Region: "eu-central-1"}}
	got, err := c.Call(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if body := string(got.Body); strings.Contains(body, "the-session") || !strings.Contains(body, "token:[redacted]") ||
		!strings.Contains(body, "Signature=[redacted]") {
		t.Error(body)
	}
}

// TestHeaders has a route with headers that are none of its business besides its own.
func TestHeaders(t *testing.T) {
	t.Parallel()
	r := chat(`{}`)
	r.Route.Auth = route.Auth{Kind: route.Header, Header: "x-api-key", Key: "ssm:a"}
	r.Route.Headers = map[string]string{
		"OpenAI-Organization": "org-1", "user-agent": "gateway", "x-custom": "a b",
		"host": "evil", "authorization": "Bearer mine", "X-API-Key": "mine", "connection": "close", "transfer-encoding": "chunked",
		"content-length": "1", "content-type": "text/plain", "proxy-authorization": "mine", "te": "trailers", "upgrade": "h2c",
		"idempotency-key": "mine", "traceparent": "mine", "x-amz-security-token": "mine", "cookie": "mine", "accept-encoding": "br",
	}
	got, _, err := caught(t, upstream.Config{Key: keyedBy("key-of-the-route")}, r)
	if err != nil {
		t.Fatal(err)
	}
	delete(got, "Traceparent")
	want := http.Header{
		"Openai-Organization": {"org-1"}, "User-Agent": {"gateway"}, "X-Custom": {"a b"}, "X-Api-Key": {"key-of-the-route"},
		"Accept": {"application/json"}, "Content-Type": {"application/json"}, "idempotency-key": {"batch_req_1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func keyedBy(key string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return key, nil }
}

func TestModelIsRewritten(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"model":"gpt-4o","messages":[]}`:                    `{"model":"m/1","messages":[]}`,
		`{ "a":{"model":"x"}, "model" : "gpt-4o" ,"b":[1.0]}`: `{ "a":{"model":"x"}, "model" : "m/1" ,"b":[1.0]}`,
		`{"mod\u0065l":"gpt-4o","n":1e400}`:                   `{"mod\u0065l":"m/1","n":1e400}`,
		`{"model":"a","model":"b"}`:                           `{"model":"m/1","model":"m/1"}`,
		`{"model":{"id":"a"}}`:                                `{"model":"m/1"}`,
		`{"messages":[]}`:                                     `{"messages":[]}`,
		`["model"]`:                                           `["model"]`,
		`{"model":"a"`:                                        `{"model":"a"`,
		"{\"model\":\"a\",\"b\":\"\xff\"}":                    "{\"model\":\"a\",\"b\":\"\xff\"}",
	} {
		r := chat(body)
		r.Route.Model = "m/1"
		if _, got, err := caught(t, upstream.Config{}, r); err != nil || got != want {
			t.Errorf("%s became %s, %v; want %s", body, got, err, want)
		}
		r.Route.Model = ""
		if _, got, err := caught(t, upstream.Config{}, r); err != nil || got != body {
			t.Errorf("without a name %s became %s, %v", body, got, err)
		}
	}
}

// TestTrace demands that a request's attempts are one trace, and each is a span of its own.
func TestTrace(t *testing.T) {
	t.Parallel()
	spans, traces := map[string]bool{}, map[string]bool{}
	for _, id := range []string{"batch_1_req_1", "batch_1_req_1", "batch_1_req_2"} {
		r := chat(`{}`)
		r.IdempotencyKey = id
		header, _, err := caught(t, upstream.Config{}, r)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Split(header.Get("Traceparent"), "-")
		if len(fields) != 4 || fields[0] != "00" || len(fields[1]) != 32 || len(fields[2]) != 16 || fields[3] != "01" {
			t.Fatalf("traceparent: %v", fields)
		}
		traces[fields[1]], spans[fields[2]] = true, true
	}
	if len(traces) != 2 || len(spans) != 3 {
		t.Errorf("%d traces and %d spans", len(traces), len(spans))
	}
}
