package suite

import (
	"context"
	"slices"
	"strings"
)

// RunQuick runs the linters and those tests that need no cloud and no client, without the race detector, in their short form,
// and with what go has cached of them. Of the simulation, which takes longer than all others, it only sees whether its bugs
// can be planted.
func RunQuick(ctx context.Context, cfg Config) Sum {
	r := newRunner(cfg)
	r.quiet = true
	r.environ = append(r.environ, "AWS_ENDPOINT_URL=") // A cloud that is up is not asked.
	r.command(ctx, "lint", cfg.Lint, "run", "./...")
	packages, err := r.packages(ctx)
	if err != nil {
		r.fail("go list", err.Error())
		return r.sum
	}
	isSim := func(path string) bool { return strings.HasSuffix(path, "/internal/sim") }
	r.tests(ctx, "tests", append([]string{"-short"}, slices.DeleteFunc(packages.others, isSim)...)...)
	r.tests(ctx, "planted bugs", "-run", "^TestPlantedBugs$", "./internal/sim")
	return r.sum
}
