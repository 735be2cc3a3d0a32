//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/localstack/cloud"
)

// downWithin bounds how long the end of a cloud takes, whatever it does.
const downWithin = 15 * time.Second

// Two clouds from two folders run side by side; ending one, while it waits for a call, leaves neither a process nor a port
// of it, nor anything in the system's temporary folder, and leaves the other alone.
func TestTwoCloudsSideBySide(t *testing.T) {
	t.Parallel()
	before := temporary(t)
	second, state, env := upCloud(t, cloud.Config{})
	if env["OPENAI_BASE_URL"] == variable(t, "OPENAI_BASE_URL") {
		t.Errorf("both clouds are at %s", env["OPENAI_BASE_URL"])
	}
	pids := recordedProcesses(t, state)
	if status, body := ask(t, env["OPENAI_BASE_URL"]+"/batches", env["OPENAI_API_KEY"]); status != http.StatusOK {
		t.Errorf("the second cloud answers %d: %s", status, body)
	}
	if status, _ := ask(t, env["OPENAI_BASE_URL"]+"/batches", variable(t, "OPENAI_API_KEY")); status != http.StatusUnauthorized {
		t.Errorf("the first cloud's key is answered with %d by the second, want 401", status)
	}

	hang(t, env)
	begun := time.Now()
	if err := second.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > downWithin {
		t.Errorf("the second cloud took %v to end, want %v at most", took, downWithin)
	}
	if left := slices.DeleteFunc(temporary(t), func(name string) bool { return slices.Contains(before, name) }); len(left) > 0 {
		t.Errorf("%v are left in %s", left, os.TempDir())
	}
	for name, pid := range pids {
		if err := syscall.Kill(-pid, 0); err == nil {
			t.Errorf("a process of %s's group %d is left", name, pid)
		}
	}
	for _, name := range []string{"AWS_ENDPOINT_URL", "STANDIN_URL"} {
		host, _, _ := strings.Cut(strings.TrimPrefix(env[name], "http://"), "/")
		if connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host); err == nil {
			_ = connection.Close()
			t.Errorf("%s still listens at %s", name, host)
		}
	}
	if status, _ := ask(t, variable(t, "OPENAI_BASE_URL")+"/batches", variable(t, "OPENAI_API_KEY")); status != http.StatusOK {
		t.Errorf("the first cloud answers %d after the second has ended", status)
	}
}

// hang leaves a cloud with a call that is not answered.
func hang(t *testing.T, env map[string]string) {
	t.Helper()
	c := openai.NewClient(option.WithBaseURL(env["OPENAI_BASE_URL"]), option.WithAPIKey(env["OPENAI_API_KEY"]))
	m := marker(t)
	create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, chat("hangs", "standin:hang", m))), "1h")
	awaitFirstCall(t, env["STANDIN_URL"], m)
}

// awaitFirstCall waits until a stand-in has a call of a run.
func awaitFirstCall(t *testing.T, standinURL, m string) {
	t.Helper()
	base, err := url.Parse(standinURL)
	if err != nil {
		t.Fatal(err)
	}
	address := base.Scheme + "://" + base.Host + "/standin/calls?limit=1&contains=" + url.QueryEscape(m+"/")
	for until := time.Now().Add(patience); time.Now().Before(until); pause(t, 500*time.Millisecond) {
		if status, answer := send(t, http.MethodGet, address, "", "", nil); status == http.StatusOK && bytes.Contains(answer, []byte(m)) {
			return
		}
	}
	t.Fatal("no request was called")
}

// temporary lists what lies in the system's temporary folder by an engine's or a Lambda's name.
func temporary(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		for _, part := range []string{"localstack", "ministack", "lambda"} {
			if strings.Contains(entry.Name(), part) {
				names = append(names, entry.Name())
			}
		}
	}
	return names
}

// recordedProcesses reads the ids of what runs from a state folder.
func recordedProcesses(t *testing.T, state string) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for _, name := range []string{"engine", "standin"} {
		data, err := os.ReadFile(filepath.Join(state, name+".pid"))
		if err != nil {
			t.Fatal(err)
		}
		var record struct {
			PID int `json:"pid"`
		}
		if err := json.Unmarshal(data, &record); err != nil || record.PID < 2 {
			t.Fatalf("%s.pid: %v in %s", name, err, data)
		}
		pids[name] = record.PID
	}
	return pids
}

// The engine's CloudFormation drops some properties; what was deployed has them all the same.
func TestNothingOfTheTemplateIsDropped(t *testing.T) {
	t.Parallel()
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table, bucket := variable(t, boot.EnvTable), variable(t, boot.EnvBucket)
	database := dynamodb.NewFromConfig(cfg)
	expiry, err := database.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	if got := expiry.TimeToLiveDescription; got.TimeToLiveStatus != dynamotypes.TimeToLiveStatusEnabled ||
		aws.ToString(got.AttributeName) != "ttl" {
		t.Errorf("items expire by %q: %s", aws.ToString(got.AttributeName), got.TimeToLiveStatus)
	}
	for _, name := range []string{table, variable(t, boot.EnvAdminTable)} {
		backups, err := database.DescribeContinuousBackups(t.Context(), &dynamodb.DescribeContinuousBackupsInput{TableName: &name})
		if err != nil {
			t.Fatal(err)
		}
		recovery := backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription
		if recovery.PointInTimeRecoveryStatus != dynamotypes.PointInTimeRecoveryStatusEnabled {
			t.Errorf("point-in-time recovery of %s is %s", name, recovery.PointInTimeRecoveryStatus)
		}
	}
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	lifecycle, err := objects.GetBucketLifecycleConfiguration(t.Context(),
		&s3.GetBucketLifecycleConfigurationInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(lifecycle.Rules); got != 4 {
		t.Errorf("the bucket has %d lifecycle rules, want 4", got)
	}
}

func TestAPIAsksForAKey(t *testing.T) {
	t.Parallel()
	base := variable(t, "OPENAI_BASE_URL")
	tests := map[string]struct {
		key  string
		want int
	}{
		"first tenant":  {variable(t, "OPENAI_API_KEY"), http.StatusOK},
		"second tenant": {variable(t, "OPENAI_API_KEY_2"), http.StatusOK},
		"no key":        {"", http.StatusUnauthorized},
		"unknown key":   {"sk-musketry-" + strings.Repeat("A", 43), http.StatusUnauthorized},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := ask(t, base+"/batches", tt.key)
			if status != tt.want {
				t.Fatalf("got %d, want %d: %s", status, tt.want, body)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("the body is no JSON: %s", body)
			}
		})
	}
}
