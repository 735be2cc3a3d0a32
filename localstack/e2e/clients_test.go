//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/localstack/clients"
)

// TestClients runs the programs of localstack/clients: those of light clients, or with MUSKETRY_E2E_CLIENTS_ALL all. Each cell
// of the matrix must be as it says: what works works, by as many calls of the provider as it takes, and a fault is still there.
// MUSKETRY_E2E_CLIENTS is the folder with what is installed of them.
func TestClients(t *testing.T) {
	t.Parallel()
	installed, err := filepath.Abs(variable(t, "MUSKETRY_E2E_CLIENTS"))
	if err != nil {
		t.Fatal(err)
	}
	tried := clients.Tried(os.Getenv("MUSKETRY_E2E_CLIENTS_ALL") != "")
	models, key := clientModels(t, tried), newTenant(t, "clients")
	for _, client := range tried {
		t.Run(client.Folder, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(installed, client.Folder)
			var all sync.WaitGroup
			for _, c := range clients.Cases() {
				gap, not := client.Gap(c)
				if not && gap.At != "" {
					checkLine(t, folder, gap)
				}
				if !not || gap.Says != "" {
					all.Go(func() { runClient(t, client, folder, key, c, models[client.Folder+" "+string(c)]) })
				}
			}
			all.Wait()
		})
	}
}

// clientModels names a model for each client and case, by which the stand-in counts its calls. One that refuses or hangs has a
// route of its own: nobody else waits for it.
func clientModels(t *testing.T, tried []clients.Client) map[string]string {
	t.Helper()
	models := map[string]string{} // By "folder case".
	for _, client := range tried {
		for _, c := range clients.Cases() {
			model := fmt.Sprintf("standin-%s-%s-%d%s", client.Folder, c, time.Now().UnixNano(), c.Directives())
			models[client.Folder+" "+string(c)] = model
			if c == clients.Again || c == clients.Cancel {
				putRoute(t, model, route.Auth{Kind: route.None})
			}
		}
	}
	time.Sleep(routesKnown)
	return models
}

// runClient runs a client's program for a case.
func runClient(t *testing.T, client clients.Client, folder, key string, c clients.Case, model string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	program, args := clientCommand(t, client, folder)
	cmd := exec.CommandContext(ctx, program, append(args, string(c), model)...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", "NODE_MODULES=" + folder + "/node_modules",
		"OPENAI_BASE_URL=" + variable(t, "OPENAI_BASE_URL"), "OPENAI_API_KEY=" + key,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	gap, not := client.Gap(c)
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Errorf("%s: %v", c, err)
	case !not && err != nil:
		t.Errorf("%s: %v\n%s", c, err, tailOf(out))
	case not && (err == nil || !bytes.Contains(out, []byte(gap.Says))):
		t.Errorf("%s: want the fault of the matrix, %q, got %v\n%s", c, gap.Says, err, tailOf(out))
	}
	if got, want := modelCalls(ctx, t, model), c.Calls(); want >= 0 && (got < want || got > want && !not) { // One at fault may try again.
		t.Errorf("%s: the provider was called %d times, want %d", c, got, want)
	}
	t.Logf("%s took %.1fs", c, time.Since(begun).Seconds())
}

// tailOf returns the end of what a program said.
func tailOf(out []byte) []byte { return out[max(0, len(out)-3000):] }

// clientCommand returns what runs a client's program.
func clientCommand(t *testing.T, client clients.Client, folder string) (program string, args []string) {
	t.Helper()
	source, err := filepath.Abs(filepath.Join("..", "clients", client.Folder))
	if err != nil {
		t.Error(err)
	}
	switch client.Language {
	case "Python":
		return filepath.Join(folder, "bin", "python"), []string{filepath.Join(source, "client.py")}
	case "JavaScript":
		return "node", []string{filepath.Join(source, "client.mjs")}
	case "Java":
		return "java", []string{"-cp", filepath.Join(folder, "classes") + ":" + filepath.Join(folder, "lib", "*"), "Client"}
	default:
		return filepath.Join(folder, "client"), nil
	}
}

// modelCalls returns how often the stand-in was called for a model.
func modelCalls(ctx context.Context, t *testing.T, model string) int {
	t.Helper()
	var stats struct {
		ByModel map[string]struct {
			Calls int `json:"calls"`
		} `json:"by_model"`
	}
	standin(ctx, t, "/standin/stats", &stats)
	return stats.ByModel[model].Calls
}

// checkLine demands that a gap's line stands in the installed package where the matrix says.
func checkLine(t *testing.T, folder string, gap clients.Gap) {
	t.Helper()
	name, number, _ := strings.Cut(gap.At, ":")
	var found []string
	for _, pattern := range []string{"lib/python3*/site-packages", "node_modules"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern, name))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, files...)
	}
	n, err := strconv.Atoi(number)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s is %q in %s: %v", gap.At, found, folder, err)
	}
	text, err := os.ReadFile(found[0]) //nolint:gosec // of what is installed here
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile("\r?\n").Split(string(text), -1)
	if n < 1 || n > len(lines) || strings.TrimSpace(lines[n-1]) != gap.Line {
		t.Errorf("%s: want %q, got %q", gap.At, gap.Line, lines[min(max(n, 1), len(lines))-1])
	}
}
