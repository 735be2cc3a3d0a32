package api_test

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
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
					Store: store, Flow: memstore.NewFlow(), Receipts: store, Clock: d.Clock, Random: rand.Reader, Log: d.Logger,
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

// TestLimitSaysWhatIsAhead demands that whoever has too much unfinished is told of the batch that is due first: how far it is,
// when it ends at the latest, and to come again when it will probably have ended.
func TestLimitSaysWhatIsAhead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		window  string
		done    int // of 100, in a minute; negative: it is still being validated
		again   string
		message string
	}{
		"nothing is known but the deadline": {"2h", -1, "60", "which is due first, ends by 2026-03-04T07:06:07Z at the latest."},
		"the deadline is near":              {"90s", -1, "30", "which is due first, ends by 2026-03-04T05:07:37Z at the latest."},
		"it has begun":                      {"2h", 0, "60", "which is due first, has 0 of 100 requests done, and ends by 2026-03-04T07:06:07Z at the latest."},
		"it is half done":                   {"2h", 50, "60", "has 50 of 100 requests done"},
		"it is nearly done":                 {"2h", 99, "1", "has 99 of 100 requests done"},
		"it goes slowly":                    {"2h", 10, "540", "has 10 of 100 requests done"},
		"it goes very slowly":               {"3h", 1, "3600", "has 1 of 100 requests done"},
		"it will not be done":               {"10m", 1, "540", "has 1 of 100 requests done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(d *api.Deps, _ *api.Config) {
				store, _ := d.Keys.(interface {
					submit.AcceptStore
					submit.Receipts
				})
				d.Acceptor = submit.NewAcceptor(submit.AcceptDeps{
					Store: store, Flow: memstore.NewFlow(), Receipts: store, Clock: d.Clock, Random: rand.Reader, Log: d.Logger,
				}, submit.AcceptConfig{Policy: retry.Default(), Limits: tenant.Limits{Batches: 2}})
			})
			file := w.upload(w.alice, line)
			order := func(window string) reply {
				return w.post("/v1/batches", strings.Replace(orderOf(file), "24h", window, 1))
			}
			order("7d").want(http.StatusOK)
			id := order(c.window).want(http.StatusOK).text("id")
			if c.done >= 0 {
				w.change(id, func(b *batch.Batch) {
					b.Status, b.InProgressAt, b.Counts = batch.StatusInProgress, w.clock(), batch.Counts{Total: 100}
				})
				shard := batch.CounterShard{ID: "w1", Counts: batch.Counts{Completed: c.done}}
				if err := w.store.PutCounter(t.Context(), id, shard); err != nil {
					t.Fatal(err)
				}
			}
			w.advance(time.Minute)
			r := order("1h")
			if r.Code != http.StatusTooManyRequests || r.Header().Get("Retry-After") != c.again {
				t.Errorf("%d, to come again in %s s, want %s", r.Code, r.Header().Get("Retry-After"), c.again)
			}
			if want := "Batch '" + id + "', "; !strings.Contains(r.errorMessage(), want) || !strings.Contains(r.errorMessage(), c.message) {
				t.Errorf("told %q, want %q and %q in it", r.errorMessage(), want, c.message)
			}
		})
	}
}
