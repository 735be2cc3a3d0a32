package checkout

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/musketry/musketry/tools/wait"
)

func TestLockIsTakenByOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		again, err := Lock(t.Context(), path)
		if err == nil {
			again()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("a second lock was given beside the first: %v", err)
	case <-time.After(3 * wait.Every):
	}
	unlock()
	if err := <-second; err != nil {
		t.Fatal(err)
	}
}

func TestInstallingIsDoneOnceForEachPin(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	folder, pins := filepath.Join(root, ".tools", "thing"), filepath.Join(root, "pins")
	box := Checkout{Root: root, Logs: root}
	installed := 0
	install := func() error { installed++; return os.MkdirAll(folder, 0o700) }
	for _, step := range []struct {
		pin  string
		want int
	}{{"a==1", 1}, {"a==1", 1}, {"a==2", 2}} {
		if err := os.WriteFile(pins, []byte(step.pin), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := box.once(t.Context(), folder, pins, install); err != nil {
			t.Fatal(err)
		}
		if installed != step.want {
			t.Errorf("with %s: installed %d times, want %d", step.pin, installed, step.want)
		}
	}
	if err := os.WriteFile(pins, []byte("a==3"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no network")
	if err := box.once(t.Context(), folder, pins, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if err := box.once(t.Context(), folder, pins, install); err != nil || installed != 3 {
		t.Errorf("after a broken installation: %v, installed %d times, want 3", err, installed)
	}
}
