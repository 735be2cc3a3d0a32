package cloud

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musketry/musketry/tools/checkout"
	"github.com/musketry/musketry/tools/wait"
)

// family is a shell that starts a child, writes the child's id to the file named, and waits.
const family = `sleep 60 & echo $! > "$0.new" && mv "$0.new" "$0"; wait`

func TestStopEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	p := process{name: "family", folder: folder}
	child := filepath.Join(folder, "child")
	if err := p.start("/bin/sh", []string{"-c", family, child}, []string{"PATH=/usr/bin:/bin"}); err != nil {
		t.Fatal(err)
	}
	record, alive := p.alive()
	if !alive {
		t.Fatalf("it is not alive: %s", p.tail())
	}
	var pid int
	if err := wait.Until(t.Context(), 10*time.Second, func() (bool, error) {
		text, err := checkout.ReadText(child)
		if err != nil {
			return false, nil //nolint:nilerr // the file is not there yet
		}
		pid, err = strconv.Atoi(text)
		return true, err
	}); err != nil {
		t.Fatal(err)
	}
	stopped, err := p.stop(t.Context())
	if err != nil || !stopped {
		t.Fatalf("stop: %v, %v", stopped, err)
	}
	for _, id := range []int{record.PID, pid} {
		if _, err := startTime(id); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("process %d is left: %v", id, err)
		}
	}
	if stopped, err := p.stop(t.Context()); err != nil || stopped {
		t.Errorf("a second stop: %v, %v, want nothing to end", stopped, err)
	}
}

// An id in a record may belong to someone else by now: another start time says so, and stop leaves it alone.
func TestStopLeavesAStrangerAlone(t *testing.T) {
	t.Parallel()
	stranger := exec.CommandContext(t.Context(), "sleep", "60")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	p := process{name: "gone", folder: t.TempDir()}
	data, err := json.Marshal(processRecord{PID: stranger.Process.Pid, Started: "another time"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.recordPath(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if stopped, err := p.stop(t.Context()); err != nil || stopped {
		t.Errorf("stop: %v, %v, want nothing to end", stopped, err)
	}
	if _, err := startTime(stranger.Process.Pid); err != nil {
		t.Errorf("the stranger has ended: %v", err)
	}
}

func TestToolsSeeNoCredentials(t *testing.T) {
	t.Parallel()
	got := cleanEnviron([]string{"PATH=/bin", "AWS_PROFILE=work", "AWS_SECRET_ACCESS_KEY=x", "UPSTREAM_API_KEY=y", "OPENAI_API_KEY=z"})
	if strings.Join(got, " ") != "PATH=/bin" {
		t.Errorf("got %v", got)
	}
}

func TestEnginesNames(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		engine, endpoint string
		fails            bool
	}{
		"the default":               {engine: "ministack"},
		"LocalStack":                {engine: "localstack"},
		"external":                  {engine: "external", endpoint: "http://127.0.0.1:4566"},
		"external without address":  {engine: "external", fails: true},
		"external that is AWS":      {engine: "external", endpoint: "https://dynamodb.us-east-1.amazonaws.com", fails: true},
		"one that there is not yet": {engine: "other", fails: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Config{Root: t.TempDir(), State: t.TempDir(), Engine: tt.engine, Endpoint: tt.endpoint})
			if got := errors.Is(err, ErrEngine); got != tt.fails {
				t.Errorf("got %v", err)
			}
		})
	}
}

// An engine that loads a service for whatever else it is asked is up when its health page answers.
func TestAliveAsksForTheHealthPage(t *testing.T) {
	t.Parallel()
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/_localstack/health" {
			<-r.Context().Done() // Longer than anyone waits.
		}
	}))
	t.Cleanup(engine.Close)
	e, err := newExternal(engine.URL)
	if err != nil {
		t.Fatal(err)
	}
	if alive, err := e.Alive(t.Context()); err != nil || !alive {
		t.Errorf("alive: %v, %v", alive, err)
	}
}
