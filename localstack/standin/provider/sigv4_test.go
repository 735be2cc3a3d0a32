package provider_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
	"github.com/musketry/musketry/localstack/standin/provider"
)

// TestVectors holds the check against AWS's own examples of signed requests
// (https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4).
func TestVectors(t *testing.T) {
	t.Parallel()
	const head = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
	signer := provider.Signer{
		AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Service: "service", Region: "us-east-1",
	}
	now := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		method, target, kind, body, authorization string
	}{
		"get-vanilla": {
			method: "GET", target: "/",
			authorization: "host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		},
		"post-vanilla": {
			method: "POST", target: "/",
			authorization: "host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
		},
		"get-vanilla-query-order-key-case": {
			method: "GET", target: "/?Param2=value2&Param1=value1",
			authorization: "host;x-amz-date, Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
		},
		"post-x-www-form-urlencoded": {
			method: "POST", target: "/", kind: "application/x-www-form-urlencoded", body: "Param1=value1",
			authorization: "content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
		},
	} {
		request := func() *http.Request {
			r := httptest.NewRequestWithContext(t.Context(), tc.method, tc.target, strings.NewReader(tc.body))
			r.Host = "example.amazonaws.com"
			r.Header.Set("X-Amz-Date", "20150830T123600Z")
			r.Header.Set("Authorization", head+tc.authorization)
			if tc.kind != "" {
				r.Header.Set("Content-Type", tc.kind)
			}
			return r
		}
		if err := signer.Check(request(), []byte(tc.body), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, change := range map[string]func(r *http.Request, s *provider.Signer, body *string, now *time.Time){
			"another body":   func(_ *http.Request, _ *provider.Signer, body *string, _ *time.Time) { *body += "x" },
			"another host":   func(r *http.Request, _ *provider.Signer, _ *string, _ *time.Time) { r.Host = "evil.amazonaws.com" },
			"another path":   func(r *http.Request, _ *provider.Signer, _ *string, _ *time.Time) { r.URL.Path = "/x" },
			"another method": func(r *http.Request, _ *provider.Signer, _ *string, _ *time.Time) { r.Method = "PUT" },
			"another secret": func(_ *http.Request, s *provider.Signer, _ *string, _ *time.Time) { s.SecretAccessKey = "x" },
			"another key":    func(_ *http.Request, s *provider.Signer, _ *string, _ *time.Time) { s.AccessKeyID = "x" },
			"another region": func(_ *http.Request, s *provider.Signer, _ *string, _ *time.Time) { s.Region = "eu-central-1" },
			"too late":       func(_ *http.Request, _ *provider.Signer, _ *string, now *time.Time) { *now = now.Add(6 * time.Minute) },
			"too early":      func(_ *http.Request, _ *provider.Signer, _ *string, now *time.Time) { *now = now.Add(-6 * time.Minute) },
			"a token that nobody signed": func(r *http.Request, _ *provider.Signer, _ *string, _ *time.Time) {
				r.Header.Set("X-Amz-Security-Token", "x")
			},
			"no signature": func(r *http.Request, _ *provider.Signer, _ *string, _ *time.Time) { r.Header.Del("Authorization") },
		} {
			r, s, body, at := request(), signer, tc.body, now
			change(r, &s, &body, &at)
			if s.Check(r, []byte(body), at) == nil {
				t.Errorf("%s: %s passes", name, what)
			}
		}
	}
}

// A role are AWS credentials.
type role aws.Credentials

func (r role) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials(r), nil }

// TestSignatures has our own client sign calls as for Amazon Bedrock, with all that a route adds.
func TestSignatures(t *testing.T) {
	t.Parallel()
	signer := provider.Signer{
		AccessKeyID: "ASIA", SecretAccessKey: "secret", SessionToken: "session/+=", Service: "bedrock", Region: "eu-central-1",
	}
	s := start(t, provider.Config{SigV4: &signer})
	for name, tc := range map[string]struct {
		credentials role
		want        int
	}{
		"the role's":   {role{AccessKeyID: "ASIA", SecretAccessKey: "secret", SessionToken: "session/+="}, 200},
		"another's":    {role{AccessKeyID: "ASIA", SecretAccessKey: "other", SessionToken: "session/+="}, 403},
		"an old token": {role{AccessKeyID: "ASIA", SecretAccessKey: "secret", SessionToken: "old"}, 403},
	} {
		client := upstream.New(upstream.Config{Credentials: tc.credentials, Now: time.Now})
		t.Cleanup(client.CloseIdleConnections)
		to := s.route()
		to.Auth = route.Auth{Kind: route.SigV4, Service: "bedrock", Region: "eu-central-1"}
		to.Headers = map[string]string{"x-custom": "a  b", "accept": "application/json"}
		to.Model = "standin:size=100"
		for _, target := range []string{chatPath, chatPath + "?b=2&a=1%20x"} {
			got, err := client.Call(t.Context(), upstream.Request{
				Route: to, Method: http.MethodPost, URL: target, Body: []byte(chat("gpt-4o")), IdempotencyKey: "k",
			})
			if err != nil || got.Status != tc.want {
				t.Errorf("%s: %d %s, %v; want %d", name, got.Status, got.Body, err, tc.want)
			}
		}
	}
	if got := s.post(t, chatPath, chat("standin"), "Authorization", "Bearer key"); got.status != http.StatusForbidden {
		t.Errorf("a bearer key: %d", got.status)
	}
	for _, text := range []string{"", "a:b:c", "a:b:c:d:e", "a::c:d"} {
		if _, err := provider.ParseSigner(text); err == nil {
			t.Errorf("%q passes as a signer", text)
		}
	}
}
