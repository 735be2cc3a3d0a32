package suite

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVulnerabilities(t *testing.T) {
	t.Parallel()
	there := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(there.Close)
	refusing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refusing.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	const found = "echo 'Vulnerability #1: GO-2026-0001'; exit 3"
	tests := map[string]struct {
		database, script string
		want             Sum
		says             string
	}{
		"none":                {there.URL, "exit 0", Sum{Passed: 1}, "ok    govulncheck"},
		"asked for":           {there.URL, `[ "$1 $2" = "-db ` + there.URL + `" ]`, Sum{Passed: 1}, "ok"},
		"found":               {there.URL, found, Sum{Failed: 1}, "GO-2026-0001"},
		"a defect":            {there.URL, "echo broken; exit 1", Sum{Failed: 1}, "broken"},
		"no program":          {there.URL, "", Sum{Failed: 1}, "FAIL  govulncheck"},
		"out of reach":        {gone.URL, found, Sum{Skipped: 1}, "SKIP  govulncheck: the database http://"},
		"refusing":            {refusing.URL + "/", found, Sum{Skipped: 1}, "404"},
		"lost on the way":     {there.URL, "echo 'govulncheck: fetching vulnerabilities: EOF'; exit 1", Sum{Skipped: 1}, "EOF"},
		"a database of files": {"file:///nowhere", "exit 0", Sum{Passed: 1}, "ok"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "govulncheck")
			if tt.script != "" {
				if err := os.WriteFile(program, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			r := &runner{cfg: Config{Vuln: program, HTTP: there.Client(), Out: &out}, environ: []string{"GOVULNDB=" + tt.database}}
			r.vulnerabilities(t.Context())
			if r.sum != tt.want || !strings.Contains(out.String(), tt.says) {
				t.Errorf("got %s, want %s and %q in %s", r.sum, tt.want, tt.says, out.String())
			}
		})
	}
}
