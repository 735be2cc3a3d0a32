package cloud

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/tools/checkout"
)

// artifacts are what a deployment is made of.
type artifacts struct {
	cdk     string // The CDK's command line.
	app     string // The CDK app.
	standIn string
	lambdas string // Folder of the Lambdas' folders.
}

// cleanEnviron is the caller's environment without what would lead to a real account, and without secrets that no tool
// has use for.
func cleanEnviron(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "OPENAI_") || strings.HasPrefix(name, "UPSTREAM_")
	})
}

// build makes the binaries; Go's cache makes it quick when nothing has changed, and certain when something has.
func (c *Cloud) build(ctx context.Context) (artifacts, error) {
	built := artifacts{
		app:     c.path("bin/infra"),
		standIn: c.path("bin/standin"),
		lambdas: c.path("lambda"),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if c.cfg.UpstreamBaseURL == "" {
			if err := c.checkout.GoBuild(ctx, "build-standin", built.standIn, "./localstack/standin"); err != nil {
				return err
			}
		}
		return c.checkout.GoBuild(ctx, "build-infra", built.app, "./infra")
	})
	if c.cfg.Lambdas != "" {
		built.lambdas = c.cfg.Lambdas
		return built, group.Wait()
	}
	tags := "lambda.norpc" // It leaves out what only the retired go1.x runtime used.
	if c.cfg.Faults != "" {
		tags += ",faults"
	}
	group.Go(func() error {
		for _, name := range checkout.Functions() {
			target := filepath.Join(built.lambdas, name, "bootstrap")
			err := c.checkout.GoBuild(ctx, "build-"+name, target, "./lambdas/"+name, "-tags", tags, "-ldflags", "-s -w")
			if err != nil {
				return err
			}
		}
		return nil
	})
	return built, group.Wait()
}

// hostArchitecture is this machine's, as Lambda calls it.
func hostArchitecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}
