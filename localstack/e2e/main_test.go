//go:build e2e

package e2e_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/localstack/cloud"
)

// interrupted ends when the run is told to end; owned are the clouds that it has started, by the folder of their state.
var (
	interrupted = context.Background()
	owned       sync.Map
)

// TestMain gives the tests a cloud: the one that the environment leads to, or one of their own. A run that is told to end
// ends its clouds first: their processes are in sessions of their own, and nobody else knows of them.
func TestMain(m *testing.M) {
	var stop context.CancelFunc
	interrupted, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:fatcontext // once, before any test
	keep := context.AfterFunc(interrupted, func() {
		endOwned()
		os.Exit(1)
	})
	code, err := runWithCloud(m)
	if !keep() {
		select {} // The clouds are being ended, and then the process.
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runWithCloud(m *testing.M) (code int, err error) {
	if os.Getenv("OPENAI_BASE_URL") != "" && os.Getenv("AWS_ENDPOINT_URL") != "" {
		return runAndCheck(m)
	}
	state, err := os.MkdirTemp("", "musketry-e2e-")
	if err != nil {
		return 1, err
	}
	c, err := newCloud(state, cloud.Config{Out: os.Stderr})
	if err != nil {
		return 1, err
	}
	defer func() {
		if down := endCloud(state, c); down != nil && err == nil {
			err = down
		}
	}()
	if err := c.Up(interrupted); err != nil {
		return 1, err
	}
	variables, err := c.Environment(context.Background())
	if err != nil {
		return 1, err
	}
	for _, v := range variables {
		if err := os.Setenv(v.Name, v.Value); err != nil {
			return 1, err
		}
	}
	return runAndCheck(m)
}

// runAndCheck runs the tests, and then asks whether the functions did only what their roles are known to do.
func runAndCheck(m *testing.M) (int, error) {
	if code := m.Run(); code != 0 {
		return code, nil
	}
	return 0, checkPermissions(context.Background())
}

// newCloud makes a cloud of the engine that MUSKETRY_E2E_ENGINE names, or the default, with the stand-in as its provider, and
// with the faults and the concurrency of cfg, if any.
func newCloud(state string, cfg cloud.Config) (*cloud.Cloud, error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return nil, err
	}
	c, err := cloud.New(cloud.Config{
		Root: root, State: state, Engine: cmp.Or(os.Getenv("MUSKETRY_E2E_ENGINE"), cloud.EngineNames()[0]),
		Faults: cfg.Faults, Concurrency: cfg.Concurrency, Environ: os.Environ(), Out: cfg.Out, Now: time.Now, Random: rand.Reader,
	})
	if err == nil {
		owned.Store(state, c)
	}
	return c, err
}

// endCloud ends a cloud of the run's own, and removes its state.
func endCloud(state string, c *cloud.Cloud) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := c.Down(ctx)
	owned.Delete(state)
	return errors.Join(err, os.RemoveAll(state))
}

// endOwned ends every cloud that the run has started and not ended.
func endOwned() {
	var group errgroup.Group
	owned.Range(func(state, c any) bool {
		group.Go(func() error { return endCloud(state.(string), c.(*cloud.Cloud)) })
		return true
	})
	if err := group.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
	}
}

// upCloud starts a cloud that ends with the test, and returns it with its state's folder and what leads to it. It has the
// faults and the concurrency of cfg, if any.
func upCloud(t *testing.T, cfg cloud.Config) (*cloud.Cloud, string, map[string]string) {
	t.Helper()
	state := t.TempDir()
	var told strings.Builder
	cfg.Out = &told
	c, err := newCloud(state, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(told.String())
		}
		if err := endCloud(state, c); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer context.AfterFunc(interrupted, cancel)()
	if err := c.Up(ctx); err != nil {
		t.Fatal(err)
	}
	variables, err := c.Environment(ctx)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, v := range variables {
		env[v.Name] = v.Value
	}
	return c, state, env
}

// ask sends a GET with a bearer key and gives status and body.
func ask(t *testing.T, url, key string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
