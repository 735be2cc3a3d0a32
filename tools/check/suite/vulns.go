package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

const (
	vulnDatabase = "https://vuln.go.dev" // https://go.dev/doc/security/vuln/database
	askPatience  = 20 * time.Second
	// foundStatus is how govulncheck ends if the code calls what is vulnerable:
	// https://pkg.go.dev/golang.org/x/vuln/cmd/govulncheck
	foundStatus = 3
)

// vulnerabilities looks for known vulnerabilities that the code can reach. Where their database cannot be, or the one that
// GOVULNDB names instead, that counts as skipped and is said: a machine without the internet can still test, and nobody
// takes its word for more than it did.
func (r *runner) vulnerabilities(ctx context.Context) {
	const name = "govulncheck"
	database := vulnDatabase
	for _, entry := range r.environ {
		if value, ok := strings.CutPrefix(entry, "GOVULNDB="); ok && value != "" {
			database = value
		}
	}
	if err := reach(ctx, r.cfg.HTTP, database); err != nil {
		r.skip(name, fmt.Sprintf("the database %s cannot be reached: %v", database, err))
		return
	}
	var output bytes.Buffer
	cmd := r.prepare(ctx, r.cfg.Vuln, []string{"-db", database, "./..."})
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		r.pass(name)
	case ended && exit.ExitCode() != foundStatus && strings.Contains(output.String(), "fetching vulnerabilities: "):
		r.skip(name, "the database cannot be read: "+strings.TrimSpace(output.String()))
	default:
		r.fail(name, output.String()+err.Error())
	}
}

// reach asks for what govulncheck asks for first. A database in files is govulncheck's own to find.
func reach(ctx context.Context, client *http.Client, database string) error {
	if !strings.HasPrefix(database, "http") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(database, "/")+"/index/db.json", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.CopyN(io.Discard, answer.Body, 1<<16) // so that the connection ends in order
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", answer.Status)
	}
	return nil
}
