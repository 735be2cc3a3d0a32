package boot

import (
	"context"
	"log/slog"
)

// LogErrors returns f, which then logs each error that it returns. Lambda's
// library writes them with package log, whose words CatchLog does not keep.
func LogErrors[In, Out any](
	log *slog.Logger, f func(context.Context, In) (Out, error),
) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		out, err := f(ctx, in)
		if err != nil {
			log.ErrorContext(ctx, "the invocation failed", slog.String("error", err.Error()))
		}
		return out, err
	}
}
