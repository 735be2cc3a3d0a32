// Finalize is the function that a batch's flow calls after its load: it
// advances, parks and, if all else fails, abandons the batch. A schedule and the
// events of flows that ended badly call it to sweep.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/musketry/musketry/internal/boot"
)

func main() {
	kit, err := boot.Start(context.Background(), os.Stdout, time.Now,
		boot.EnvTable, boot.EnvBucket, boot.EnvQueueURL, boot.EnvDeadLettersURL, boot.EnvFlowARN)
	var h handler
	if err == nil {
		h, err = wire(kit)
	}
	if err != nil {
		boot.NewLogger(os.Stdout, slog.LevelInfo).Error("finalize cannot start", slog.Any("error", err))
		os.Exit(1)
	}
	lambda.Start(boot.LogErrors(kit.Log, h.handle))
}
