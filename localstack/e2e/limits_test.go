//go:build e2e

package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// A tenant's limit of unfinished batches answers 429, and each place is free
// again when its batch has ended. It needs a cloud with a small limit:
// CDK_CONTEXT=tenantBatches=3, told by MUSKETRY_E2E_TENANT_BATCHES=3.
func TestLimitOfBatches(t *testing.T) {
	t.Parallel()
	most, err := strconv.Atoi(os.Getenv("MUSKETRY_E2E_TENANT_BATCHES"))
	if err != nil {
		t.Skip("MUSKETRY_E2E_TENANT_BATCHES does not tell the limit that this cloud was deployed with")
	}
	bin := filepath.Join(t.TempDir(), "musketry")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/musketry").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	secret, err := exec.CommandContext(t.Context(), bin, "admin", "keys", "create", "--tenant", "limited").Output()
	if err != nil {
		t.Fatal(err)
	}
	c := openai.NewClient(option.WithBaseURL(variable(t, "OPENAI_BASE_URL")), option.WithAPIKey(strings.TrimSpace(string(secret))))
	file := upload(t.Context(), t, c, jsonl(t, chat("a", "standin:hang", marker(t))))
	var ids []string
	for range most {
		ids = append(ids, create(t.Context(), t, c, file, "24h").ID)
	}
	order := openai.BatchNewParams{
		InputFileID: file, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, CompletionWindow: "24h",
	}
	_, err = c.Batches.New(t.Context(), order)
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
		time.Sleep(time.Second)
	}
	t.Errorf("after the end of all: %v", last)
}
