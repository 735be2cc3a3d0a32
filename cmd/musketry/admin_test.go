package main_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// TestAdminErrors runs the command as its user does, against an answer of
// DynamoDB's and without what it needs.
func TestAdminErrors(t *testing.T) {
	t.Parallel()
	bin := build(t)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := "ResourceNotFoundException"
		if strings.Contains(r.Header.Get("Authorization"), "Credential=denied/") {
			kind = "AccessDeniedException"
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"com.amazonaws.dynamodb.v20120810#` + kind + `","message":"no"}`))
	}))
	t.Cleanup(refusing.Close)
	bare := []string{
		"PATH=/usr/bin:/bin", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}
	region := append(bare[:len(bare):len(bare)], "AWS_REGION=eu-central-1", "AWS_ENDPOINT_URL="+refusing.URL)
	denied := append(region[:len(region):len(region)], "AWS_ACCESS_KEY_ID=denied", "AWS_SECRET_ACCESS_KEY=s3cret")
	known := append(region[:len(region):len(region)], "AWS_ACCESS_KEY_ID=known", "AWS_SECRET_ACCESS_KEY=s3cret")
	for name, c := range map[string]struct {
		env  []string
		args string
		want string
	}{
		"no table named":  {known, "list", "MUSKETRY_ADMIN_TABLE"},
		"no such table":   {known, "list --table gone", "there is no table gone in this account and region"},
		"a bad name":      {known, "list --table a/b", "no table's name"},
		"no rights":       {denied, "create --tenant acme --table t-1", "dynamodb:Query, GetItem and PutItem"},
		"no credentials":  {region, "list --table t-1", "no AWS credentials"},
		"no region":       {bare, "list --table t-1", "no AWS region"},
		"no tenant":       {known, "create --table t-1", `required flag(s) "tenant" not set`},
		"a bad tenant":    {known, "create --table t-1 --tenant A", "lower-case letters"},
		"no key to find":  {known, "revoke --table t-1", "accepts 1 arg"},
		"unknown command": {known, "delete --table t-1", "delete"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), bin, append([]string{"admin", "keys"}, strings.Fields(c.args)...)...)
			cmd.Env = c.env
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("it ended with %v, want exit code 1", err)
			}
			if !strings.Contains(string(out), c.want) || strings.Contains(string(out), "s3cret") || strings.Contains(string(out), "sk-musketry-") {
				t.Errorf("it said %q, want %q and no secret", out, c.want)
			}
		})
	}
}
