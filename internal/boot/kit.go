package boot

import (
	"context"
	"io"
	"log/slog"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/musketry/musketry/internal/cost"
	"github.com/musketry/musketry/internal/metric"
)

// A Kit is what a main.go wires its function with.
type Kit struct {
	Config

	AWS     aws.Config
	Log     *slog.Logger
	Metrics *Metrics
	Clock   func() time.Time
	Memory  int64 // bytes that the process may have, garbage included; 0: there is no bound
}

// counting returns what counts a call of AWS in metrics: half a unit, that of a
// read which need not be consistent, as a whole one.
func counting(metrics *Metrics) func(cost.Call) {
	return func(c cost.Call) {
		metrics.Count(metric.AWSCalls, c.Attempts, "service", c.Service, "operation", c.Operation)
		for _, u := range []struct {
			unit string
			n    float64
		}{
			{"read", c.Units.Reads}, {"write", c.Units.Writes}, {"message", c.Units.Messages}, {"put", c.Units.Puts}, {"get", c.Units.Gets},
		} {
			if u.n > 0 {
				metrics.Count(metric.AWSUnits, int(math.Ceil(u.n)), "service", c.Service, "operation", c.Operation, "unit", u.unit)
			}
		}
	}
}

// Start reads the environment, of which the variables in needs must be set,
// and AWS's configuration, and has Go keep to the function's processors and memory.
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
	metrics := NewMetrics(out, clock, cfg.Stack)
	injected, err := faults(metrics)
	if err != nil {
		return Kit{}, err
	}
	awsCfg.APIOptions = append(awsCfg.APIOptions, cost.Middleware(counting(metrics)))
	awsCfg.APIOptions = append(awsCfg.APIOptions, injected...)
	logger := NewLogger(out, cfg.LogLevel)
	CatchLog(logger)
	limitProcessors()
	return Kit{Config: cfg, AWS: awsCfg, Log: logger, Metrics: metrics, Clock: clock, Memory: limitMemory()}, nil
}

// Keys returns the keys that routes name.
func (k Kit) Keys() *Keys {
	return NewKeys(k.Config, ssm.NewFromConfig(k.AWS), secretsmanager.NewFromConfig(k.AWS), k.Clock)
}
