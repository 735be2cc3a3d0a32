// Submit is the function behind the API, and a batch's first step: it answers
// requests of API Gateway, and loads batches as tasks of their flows.
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
	kit, err := boot.Start(context.Background(), os.Stdout, time.Now, boot.EnvTable, boot.EnvAdminTable, boot.EnvBucket, boot.EnvFlowARN)
	var h handler
	if err == nil {
		h, err = wire(kit)
	}
	if err != nil {
		boot.NewLogger(os.Stdout, slog.LevelInfo).Error("submit cannot start", slog.Any("error", err))
		os.Exit(1)
	}
	lambda.Start(boot.LogErrors(kit.Log, h.handle))
}
