package suite

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musketry/musketry/tools/wait"
)

// TestEndOfAPart checks that a part that is told to end ends with what it has started.
func TestEndOfAPart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	ctx, end := context.WithCancel(t.Context())
	r := newRunner(Config{Environ: os.Environ(), Out: io.Discard})
	passed := make(chan bool)
	go func() {
		passed <- r.command(ctx, "a part", "sh", "-c", `sh -c 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec sleep 600' "$0"; true`, file)
	}()
	var child int
	started := func() (bool, error) {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		if err == nil {
			child, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil, err
	}
	if err := wait.Until(t.Context(), time.Minute, started); err != nil {
		t.Fatal(err)
	}
	end()
	if <-passed {
		t.Error("a part that was ended has passed")
	}
	if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("what the part has started still runs: %v", err)
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
}
