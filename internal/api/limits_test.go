package api_test

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// TestLimitsOfATenant holds what a client is told of a limit, and that one
// tenant's is not another's.
func TestLimitsOfATenant(t *testing.T) {
	t.Parallel()
	for of, c := range map[string]struct {
		limits    tenant.Limits
		limit     string
		remaining string
		message   string
	}{
		"batches":  {tenant.Limits{Batches: 1}, "1", "0", "you have 1 unfinished batches, and may have 1"},
		"requests": {tenant.Limits{Requests: 7}, "7", "2", "your unfinished batches have 5 requests, and may have 7; this one has up to 5"},
	} {
		t.Run(of, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(d *api.Deps, _ *api.Config) {
				store, _ := d.Keys.(interface {
					submit.AcceptStore
					submit.Receipts
				})
				d.Acceptor = submit.NewAcceptor(submit.AcceptDeps{
					Store: store, Flow: memstore.NewFlow(), Receipts: store, Clock: d.Clock, Random: rand.Reader,
				}, submit.AcceptConfig{Policy: retry.Default(), Limits: c.limits})
			})
			create := func(key string) reply {
				file := w.upload(key, "{"+strings.Repeat(" ", 238)+"}") // 240 bytes: at most 5 requests
				return w.ask(ask{
					method: http.MethodPost, path: "/v1/batches", key: key, kind: "application/json",
					body: `{"input_file_id":"` + file + `","endpoint":"/v1/embeddings","completion_window":"24h"}`,
				})
			}
			create(w.alice).want(http.StatusOK)
			r := create(w.alice).want(http.StatusTooManyRequests)
			told, _ := r.json["error"].(map[string]any)
			if message, _ := told["message"].(string); !strings.Contains(message, c.message) {
				t.Errorf("error.message is %q, want it to contain %q", message, c.message)
			}
			if told["type"] != "rate_limit_exceeded" || told["code"] != "rate_limit_exceeded" || told["param"] != nil {
				t.Errorf("error is %v", told)
			}
			for name, want := range map[string]string{
				"Retry-After": "60", "X-Should-Retry": "false",
				"X-Ratelimit-Limit-" + of: c.limit, "X-Ratelimit-Remaining-" + of: c.remaining,
			} {
				if got := r.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			create(w.bob).want(http.StatusOK)
		})
	}
}
