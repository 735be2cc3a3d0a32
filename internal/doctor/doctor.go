package doctor

import (
	"context"
	"time"

	"github.com/musketry/musketry/internal/route"
)

// checkTime bounds one check.
const checkTime = 45 * time.Second

// A Config is what a deployment was given.
type Config struct {
	Name     string        // the deployment's
	Defaults []route.Model // where requests go that no model matches; empty: nowhere
	Unknown  error         // why Defaults are not known; nil: they are
}

// A Doctor looks at a deployment.
type Doctor struct {
	Deps

	config Config
}

// New returns a Doctor.
func New(deps Deps, config Config) *Doctor { return &Doctor{Deps: deps, config: config} }

// Check makes every check and tells each finding as it is made. It ends early
// only with ctx.
func (d *Doctor) Check(ctx context.Context, tell func(Finding)) {
	for _, c := range []struct {
		name string
		make check
	}{
		{"table", d.table},
		{"bucket", d.bucket},
		{"functions", d.functions},
		{"source", d.source},
		{"concurrency", d.concurrency},
		{"quotas", d.quotas},
		{"queue", d.queue},
		{"dead-letters", d.deadLetters},
		{"batches", d.batches},
		{"models", d.models},
		{"pauses", d.pauses},
		{"providers", d.providers},
	} {
		if ctx.Err() != nil {
			return
		}
		limited, cancel := context.WithTimeout(ctx, checkTime)
		found := c.make(limited)
		cancel()
		for _, f := range found {
			f.Check = c.name
			tell(f)
		}
	}
}
