package boot

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// A Kit is what a main.go wires its function with.
type Kit struct {
	Config

	AWS     aws.Config
	Log     *slog.Logger
	Metrics *Metrics
	Clock   func() time.Time
}

// Start reads the environment, of which the variables in needs must be set,
// and AWS's configuration, and has Go's heap keep to the function's memory.
// Logs and metrics go to out, and what is written with package log as CatchLog
// says. It returns an error wrapping ErrEnvironment as FromEnv does.
func Start(ctx context.Context, out io.Writer, clock func() time.Time, needs ...string) (Kit, error) {
	cfg, err := FromEnv(needs...)
	if err != nil {
		return Kit{}, err
	}
	awsCfg, err := AWS(ctx)
	if err != nil {
		return Kit{}, err
	}
	metrics := NewMetrics(out, clock)
	injected, err := faults(metrics)
	if err != nil {
		return Kit{}, err
	}
	awsCfg.APIOptions = append(awsCfg.APIOptions, injected...)
	logger := NewLogger(out, cfg.LogLevel)
	CatchLog(logger)
	limitMemory()
	return Kit{Config: cfg, AWS: awsCfg, Log: logger, Metrics: metrics, Clock: clock}, nil
}

// UpstreamKey returns the supplier of the upstream's key: "" if there is none.
func (k Kit) UpstreamKey() func(context.Context) (string, error) {
	return NewSecret(k.UpstreamKeyParameter, ssm.NewFromConfig(k.AWS), k.Clock).Value
}
