// Finalize is the function that a batch's flow calls after its load: it
// advances, parks and, if all else fails, abandons the batch.
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
	env, missing := boot.FromEnv(boot.EnvTable, boot.EnvBucket, boot.EnvQueueURL)
	log := boot.NewLogger(os.Stdout, env.LogLevel)
	cfg, unreachable := boot.AWS(context.Background())
	finalizer, err := wire(env, cfg, time.Now, log)
	if err = errors.Join(missing, unreachable, err); err != nil {
		log.Error("finalize cannot start", slog.Any("error", err))
		os.Exit(1)
	}
	lambda.Start(handler{finalizer}.handle)
}
