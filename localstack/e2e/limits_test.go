//go:build e2e

package e2e_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// A tenant's limit of unfinished batches answers 429, and each place is free
// again when its batch has ended. MUSKETRY_E2E_TENANT_BATCHES tells a limit
// that is not the default. Its requests rest between two attempts, so that they
// keep no worker from other tests.
func TestLimitOfBatches(t *testing.T) {
	t.Parallel()
	most := number(t, "MUSKETRY_E2E_TENANT_BATCHES", 100)
	c := openai.NewClient(option.WithBaseURL(variable(t, "OPENAI_BASE_URL")), option.WithAPIKey(newTenant(t, "limited")))
	const rests = "standin:status=503+retry-after=3600"
	ownRoute(t, rests)
	file := upload(t.Context(), t, c, jsonl(t, chat("a", rests, marker(t))))
	var ids []string
	for range most {
		ids = append(ids, create(t.Context(), t, c, file, "24h").ID)
	}
	order := openai.BatchNewParams{
		InputFileID: file, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, CompletionWindow: "24h",
	}
	_, err := c.Batches.New(t.Context(), order)
	var refused *openai.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusTooManyRequests || refused.Code != "rate_limit_exceeded" {
		t.Fatalf("one more batch: %v", err)
	}
	if got := refused.Response.Header.Get("X-Ratelimit-Limit-Batches"); got != strconv.Itoa(most) || refused.Response.Header.Get("Retry-After") == "" {
		t.Errorf("headers are %v", refused.Response.Header)
	}
	for _, id := range ids {
		if _, err := c.Batches.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		await(t.Context(), t, c, id, patience, ended)
	}
	var last error
	for range 30 { // the place is given back right after the end
		b, err := c.Batches.New(t.Context(), order)
		if err == nil {
			_, _ = c.Batches.Cancel(t.Context(), b.ID)
			return
		}
		last = err
		pause(t, time.Second)
	}
	t.Errorf("after the end of all: %v", last)
}
