//go:build e2e

package e2e_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/musketry/musketry/localstack/cloud"
)

// TestMain gives the tests a cloud: the one that the environment leads to, or one of their own.
func TestMain(m *testing.M) {
	code, err := runWithCloud(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runWithCloud(m *testing.M) (code int, err error) {
	if os.Getenv("OPENAI_BASE_URL") != "" && os.Getenv("AWS_ENDPOINT_URL") != "" {
		return m.Run(), nil
	}
	state, err := os.MkdirTemp("", "musketry-e2e-")
	if err != nil {
		return 1, err
	}
	c, err := newCloud(state, os.Stderr)
	if err != nil {
		return 1, err
	}
	defer func() {
		if down := c.Down(context.Background()); down != nil && err == nil {
			err = down
		}
		_ = os.RemoveAll(state)
	}()
	if err := c.Up(context.Background()); err != nil {
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
	return m.Run(), nil
}

// newCloud makes a cloud of the engine that MUSKETRY_E2E_ENGINE names, or the default, with the stand-in as its provider.
func newCloud(state string, out io.Writer) (*cloud.Cloud, error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return nil, err
	}
	return cloud.New(cloud.Config{
		Root: root, State: state, Engine: cmp.Or(os.Getenv("MUSKETRY_E2E_ENGINE"), cloud.EngineNames()[0]),
		Environ: os.Environ(), Out: out, Now: time.Now, Random: rand.Reader,
	})
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
