//go:build e2e

package e2e_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestPythonSDK runs the unchanged openai SDK, the newest and the last of major 1, through everything a user does.
func TestPythonSDK(t *testing.T) {
	t.Parallel()
	for name, variableName := range map[string]string{
		"newest":  "MUSKETRY_E2E_PYTHON",
		"1.109.1": "MUSKETRY_E2E_PYTHON_1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runSDK(t, variable(t, variableName), "testdata/sdk.py")
		})
	}
}

// TestNodeSDK does the same with Node's: the newest, and the last that supports a Node older than 22.
func TestNodeSDK(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"openai", "openai-6"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runSDK(t, "node", "testdata/sdk.mjs", variable(t, "MUSKETRY_E2E_NODE_MODULES"), name)
		})
	}
}

// runSDK runs a script that ends well only if everything was as it should be.
func runSDK(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
