package suite

import (
	"context"
	"fmt"
)

// RunClients runs the programs of all clients that others wrote, those too that make test leaves out. A test that is skipped has
// failed.
func RunClients(ctx context.Context, cfg Config) Sum {
	cfg.State += "-clients"
	r := newRunner(cfg)
	r.strict = true
	r.environ = append(r.environ, "MUSKETRY_E2E_CLIENTS_ALL=1")
	r.base = r.environ
	r.onCloud(ctx, func() {
		r.goTest(ctx, "clients", []string{"./localstack/e2e"}, "-race=false", "-v", "-run", "^TestClients$")
	})
	fmt.Fprintln(cfg.Out)
	return r.sum
}
