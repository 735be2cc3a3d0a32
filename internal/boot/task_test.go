package boot_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/boot"
)

func TestLogErrors(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	failure := errors.New("finalize: the table is not there")
	f := boot.LogErrors(boot.NewLogger(&out, slog.LevelInfo), func(_ context.Context, fail bool) (string, error) {
		if fail {
			return "some", failure
		}
		return "all", nil
	})
	if got, err := f(t.Context(), false); got != "all" || err != nil || out.Len() > 0 {
		t.Errorf("a success gives %q, %v and logs %q", got, err, &out)
	}
	if got, err := f(t.Context(), true); got != "some" || !errors.Is(err, failure) {
		t.Errorf("a failure gives %q, %v; want what f gave", got, err)
	}
	if !strings.Contains(out.String(), failure.Error()) || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("the log has %q, want one line with the error", &out)
	}
}
