//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAnswersKeepToTheDocument lets schemathesis make requests, good and bad ones and sequences of them, of the OpenAPI
// document that the stack serves. No answer may be a 5xx or differ from what the document says.
func TestAnswersKeepToTheDocument(t *testing.T) {
	t.Parallel()
	base := variable(t, "OPENAI_BASE_URL")
	folder := t.TempDir() // It keeps its own files where it runs.
	report := filepath.Join(folder, "report.json")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, variable(t, "MUSKETRY_E2E_SCHEMATHESIS"), "run", base+"/openapi.json", "--url", base,
		"--header", "Authorization: Bearer "+newTenant(t, "document"), // it cancels and deletes whatever it finds
		"--checks", strings.Join([]string{
			"not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
			"response_schema_conformance", "ignored_auth", "use_after_free", "ensure_resource_availability",
		}, ","),
		"--max-time", "60", "--max-examples", "20", "--seed", "1", "--request-timeout", "30", "--max-redirects", "0",
		"--continue-on-failure", "--warnings", "off", "--no-color", "--generation-database", "none",
		"--report", "json", "--report-json-path", report)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var told struct {
		Operations struct{ Total, Tested int }
		TestCases  struct {
			Generated int
		} `json:"test_cases"`
	}
	if err := json.Unmarshal(data, &told); err != nil {
		t.Fatal(err)
	}
	// An operation that is slow on a busy machine must not hide that others were not tried.
	if told.Operations.Total == 0 || told.Operations.Tested != told.Operations.Total || told.TestCases.Generated < 100 {
		t.Errorf("%d of %d operations were tried with %d requests\n%s",
			told.Operations.Tested, told.Operations.Total, told.TestCases.Generated, out)
	}
	t.Logf("%d operations, %d requests", told.Operations.Tested, told.TestCases.Generated)
}
