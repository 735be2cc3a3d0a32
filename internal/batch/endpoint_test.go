package batch_test

import (
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

// TestEndpointsAreFoundWithoutTheirVersion demands that only the /v1 of an endpoint may be left out.
func TestEndpointsAreFoundWithoutTheirVersion(t *testing.T) {
	t.Parallel()
	all := append(batch.Endpoints(), "/v1/rerank", "/rank", "/v1/rank")
	for name, want := range map[string]string{
		"/chat/completions": "/v1/chat/completions", "/v1/chat/completions": "/v1/chat/completions", "/embeddings": "/v1/embeddings",
		"/responses": "/v1/responses", "/rerank": "/v1/rerank", "/rank": "/rank", "/v1/rank": "/v1/rank",
		"chat/completions": "chat/completions", "/v1/v1/rerank": "/v1/v1/rerank", "/nothing": "/nothing", "": "", "/v2/rerank": "/v2/rerank",
	} {
		if got := batch.FullEndpoint(name, all); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
