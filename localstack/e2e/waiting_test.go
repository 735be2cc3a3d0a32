//go:build e2e

package e2e_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/route"
)

// A reason is one of a batch's waiting.
type reason struct {
	Reason  string
	Model   string
	Until   int64
	Message string
}

// waiting reads why a batch waits, nil where it does not say.
func waiting(t *testing.T, b *openai.Batch) []reason {
	t.Helper()
	var all []reason
	if err := json.Unmarshal([]byte(b.JSON.ExtraFields["waiting"].Raw()), &all); err != nil {
		t.Fatalf("waiting of %s: %v", b.RawJSON(), err)
	}
	return all
}

// TestWaitingIsTold of a batch whose route is paused, to its owner's client and at a terminal, while no request fails of it; it
// tells nothing of the route but the model's pattern.
func TestWaitingIsTold(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "musketry")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/musketry").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for want, tt := range map[string]struct {
		model  string
		auth   route.Auth
		atMost time.Duration // until it is tried again
	}{
		"rate_limited": {"standin-waits:status=503+retry-after=3600", route.Auth{Kind: route.None}, time.Hour},
		"unauthorized": {"standin-waits:status=401", route.Auth{Kind: route.None}, time.Minute},
		"missing_key":  {"standin-waits", route.Auth{Kind: route.Bearer, Key: "ssm:e2e-nobody-has-stored-it"}, time.Minute},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
			ownRouteBy(t, tt.model, tt.auth)
			var lines []any
			for _, id := range []string{"a", "b", "c", "d"} { // three refusals of a key pause its route
				lines = append(lines, chat(id, tt.model, m))
			}
			b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "24h")
			b = await(t.Context(), t, c, b.ID, patience, func(b *openai.Batch) bool {
				all := waiting(t, b)
				return len(all) == 1 && all[0].Reason == want && all[0].Until > 0
			})
			got := waiting(t, b)[0]
			left := time.Until(time.Unix(got.Until, 0))
			if got.Model != tt.model || got.Message == "" || left > tt.atMost+time.Second || want == "rate_limited" && left < time.Minute {
				t.Errorf("%v before it is tried again: %+v", left, got)
			}
			if b.RequestCounts.Failed > 0 {
				t.Errorf("requests fail of it: %s", describe(b))
			}
			for _, inner := range []string{"127.0.0.1", "http:", "nobody-has-stored-it"} {
				if strings.Contains(got.Message, inner) {
					t.Errorf("%q tells of the route", got.Message)
				}
			}
			shown, err := exec.CommandContext(t.Context(), bin, "status", b.ID).CombinedOutput()
			if err != nil || !strings.Contains(string(shown), want+" ("+tt.model+")") {
				t.Errorf("at a terminal: %v\n%s", err, shown)
			}
			if _, err := c.Batches.Cancel(t.Context(), b.ID); err != nil {
				t.Fatal(err)
			}
			if b = await(t.Context(), t, c, b.ID, patience, ended); waiting(t, b) != nil {
				t.Errorf("it has ended, and waits for %v", waiting(t, b))
			}
		})
	}
}
