// Execute is the function behind the queue: it calls the upstream for each
// request that a message names, and records what came of it.
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
		boot.EnvTable, boot.EnvAdminTable, boot.EnvBucket, boot.EnvQueueURL)
	var h handler
	if err == nil {
		h, err = wire(kit)
	}
	if err != nil {
		boot.NewLogger(os.Stdout, slog.LevelInfo).Error("execute cannot start", slog.Any("error", err))
		os.Exit(1)
	}
	lambda.Start(h.handle)
}
