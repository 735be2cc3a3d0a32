package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/musketry/musketry/localstack/cloud"
	"github.com/musketry/musketry/tools/checkout"
)

// contract is the package whose tests hold a database to what the store needs of it: nothing else is tried on one that
// does not pass.
const contract = "./internal/dynamostore"

// adapters are the packages whose tests ask a cloud's other services.
func adapters() []string {
	return []string{"./internal/s3file", "./internal/sfnflow", "./internal/sqsqueue", "./lambdas/finalize"}
}

// Of the contract, the suite that every store passes, and end to end a batch with every outcome, one that is cancelled and
// one whose workers are killed: what make test tries on LocalStack.
const (
	shortContract = "^(TestStore|TestGrouping)$"
	shortEndToEnd = "^(TestOutcomes|TestCancel|TestKilledWorker|TestForms)$"
)

// shortPatience bounds what make test tries on LocalStack.
const shortPatience = 15 * time.Minute

// RunLocalStack runs on LocalStack what asks a cloud: the store's contract, the adapters' tests, and all end-to-end tests. A
// test that is skipped there has failed.
func RunLocalStack(ctx context.Context, cfg Config) Sum {
	r := localStackRunner(cfg)
	if err := r.findPython(ctx); err != nil {
		r.fail("LocalStack", err.Error())
		return r.sum
	}
	r.onCloud(ctx, func() {
		if !r.goTest(ctx, "the store's contract on LocalStack", []string{contract}) {
			return
		}
		r.goTest(ctx, "adapters on LocalStack", adapters())
		r.goTest(ctx, "end-to-end tests on LocalStack", []string{"./localstack/e2e"})
	})
	fmt.Fprintln(cfg.Out)
	return r.sum
}

// shortLocalStack runs a few minutes of that, on a machine with a Python that LocalStack runs on.
func (r *runner) shortLocalStack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, shortPatience)
	defer cancel()
	short := localStackRunner(r.cfg)
	if err := short.findPython(ctx); err != nil {
		if errors.Is(err, checkout.ErrTool) {
			r.skip("LocalStack", err.Error())
		} else {
			r.fail("LocalStack", err.Error())
		}
		return
	}
	short.onCloud(ctx, func() {
		if short.goTest(ctx, "the store's contract on LocalStack", []string{contract}, "-run", shortContract) {
			short.goTest(ctx, "a few end-to-end tests on LocalStack", []string{"./localstack/e2e"}, "-run", shortEndToEnd)
		}
	})
	r.sum.add(short.sum)
}

// localStackRunner makes a runner with a cloud of LocalStack beside the other's.
func localStackRunner(cfg Config) *runner {
	cfg.State += "-localstack"
	cfg.Environ = append(slices.Clone(cfg.Environ), "ENGINE=localstack", "MUSKETRY_E2E_ENGINE=localstack")
	r := newRunner(cfg)
	r.strict = true
	return r
}

func (r *runner) findPython(ctx context.Context) error {
	_, err := checkout.Checkout{Environ: r.cfg.Environ}.Python(ctx, cloud.LocalStackPython())
	return err
}
