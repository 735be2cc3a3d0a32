// Submit is the function behind the API, and a batch's first step: it answers
// requests of API Gateway, and loads batches as tasks of their flows.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/musketry/musketry/internal/boot"
)

func main() {
	env, missing := boot.FromEnv(boot.EnvTable, boot.EnvBucket, boot.EnvFlowARN)
	log := boot.NewLogger(os.Stdout, env.LogLevel)
	cfg, unreachable := boot.AWS(context.Background())
	h, err := wire(env, cfg, time.Now, log)
	if err = errors.Join(missing, unreachable, err); err != nil {
		log.Error("submit cannot start", slog.Any("error", err))
		os.Exit(1)
	}
	lambda.Start(h.handle)
}
