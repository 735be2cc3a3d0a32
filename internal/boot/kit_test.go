package boot_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

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

// TestCallsOfAWSAreCounted demands that the clients of a kit count their calls and units.
func TestCallsOfAWSAreCounted(t *testing.T) { //nolint:paralleltest // it sets the environment
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		boot.EnvStack: "Mine",
	} {
		t.Setenv(name, value)
	}
	var out bytes.Buffer
	kit, err := boot.Start(t.Context(), &out, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	put := &dynamodb.PutItemInput{TableName: aws.String("table"), Item: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberB{Value: make([]byte, 1500)},
	}}
	if _, err := dynamodb.NewFromConfig(kit.AWS).PutItem(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	kit.Metrics.Flush()
	type line struct {
		Stack, Service, Operation, Unit string
		Calls                           int `json:"aws_calls_total"`
		Units                           int `json:"aws_units_total"`
	}
	var got []line
	for dec := json.NewDecoder(&out); dec.More(); {
		var l line
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if l.Calls+l.Units > 0 {
			got = append(got, l)
		}
	}
	want := []line{
		{Stack: "Mine", Service: "DynamoDB", Operation: "PutItem", Calls: 1},
		{Stack: "Mine", Service: "DynamoDB", Operation: "PutItem", Unit: "write", Units: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
