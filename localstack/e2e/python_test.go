//go:build e2e

package e2e_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestPythonSDK runs the unchanged openai SDK through everything a user does.
func TestPythonSDK(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), variable(t, "MUSKETRY_E2E_PYTHON"), "testdata/sdk.py")
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
