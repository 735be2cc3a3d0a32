package boot_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/musketry/musketry/internal/boot"
)

func TestStart(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
	t.Setenv(boot.EnvTable, "table")
	var out bytes.Buffer
	kit, err := boot.Start(t.Context(), &out, time.Now, boot.EnvTable)
	if err != nil {
		t.Fatal(err)
	}
	if kit.Table != "table" || kit.AWS.Region != "eu-central-1" || aws.ToString(kit.AWS.BaseEndpoint) == "" {
		t.Errorf("got table %q, region %q, endpoint %q", kit.Table, kit.AWS.Region, aws.ToString(kit.AWS.BaseEndpoint))
	}
	kit.Log.Info("hello")
	kit.Metrics.Count("calls", 1)
	kit.Metrics.Flush()
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 2 {
		t.Errorf("%d lines, want a log line and a metric: %s", n, out.Bytes())
	}
	t.Setenv(boot.EnvBucket, "") // the tests may run in the environment of a cloud
	if _, err := boot.Start(t.Context(), &out, time.Now, boot.EnvBucket); !errors.Is(err, boot.ErrEnvironment) {
		t.Errorf("error is %v, want ErrEnvironment", err)
	}
}
