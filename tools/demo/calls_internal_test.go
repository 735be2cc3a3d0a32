package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCallsSinceAnEarlierCount(t *testing.T) {
	t.Parallel()
	before := calls{"dynamodb.PutItem": 3, "s3.GetObject": 2}
	after := calls{"dynamodb.PutItem": 10, "s3.GetObject": 2, "sqs.SendMessageBatch": 1}
	want := calls{"dynamodb.PutItem": 7, "sqs.SendMessageBatch": 1}
	if diff := cmp.Diff(want, after.without(before)); diff != "" {
		t.Error(diff)
	}
}

func TestCountCalls(t *testing.T) {
	t.Parallel()
	serve := func(answer http.HandlerFunc) string {
		engine := httptest.NewServer(answer)
		t.Cleanup(engine.Close)
		return engine.URL
	}
	tests := map[string]struct {
		engine string
		want   calls
		shown  string
	}{
		"an engine that counts": {
			engine: serve(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/_musketry/calls" {
					_, _ = w.Write([]byte(`{"ssm.GetParameter": 2}`))
				}
			}),
			want: calls{"ssm.GetParameter": 2}, shown: "0.50 a request",
		},
		"one that knows no such page": {engine: serve(http.NotFound), shown: "does not count"},
		"one that has another page there": {
			engine: serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<Error/>")) }),
			shown:  "does not count",
		},
		"one that gives no answer": {
			engine: serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
			shown:  "does not count",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := countCalls(t.Context(), tt.engine)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			var out strings.Builder
			got.show(&out, 4)
			if !strings.Contains(out.String(), tt.shown) {
				t.Errorf("%q does not tell %q", out.String(), tt.shown)
			}
		})
	}
}
