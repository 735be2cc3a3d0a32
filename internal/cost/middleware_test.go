package cost_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/cost"
)

// clients returns the configuration of clients whose calls are counted in seen.
func clients(t *testing.T, answer http.HandlerFunc, seen *[]cost.Call) aws.Config {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	var mu sync.Mutex
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		APIOptions: []func(*middleware.Stack) error{cost.Middleware(func(c cost.Call) {
			mu.Lock()
			defer mu.Unlock()
			*seen = append(*seen, c)
		})},
	}
}

// TestMiddleware has a call fail at first and then tell what it consumed, which is more than what was sent.
func TestMiddleware(t *testing.T) {
	t.Parallel()
	var seen []cost.Call
	tries := 0
	cfg := clients(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"ReturnConsumedCapacity":"TOTAL"`) {
			t.Errorf("the call does not ask what it consumes: %s", body)
		}
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"ConsumedCapacity":{"CapacityUnits":3}}`)
	}, &seen)
	in := &dynamodb.PutItemInput{TableName: aws.String("table"), Item: item{"pk": str(1)}}
	if _, err := dynamodb.NewFromConfig(cfg).PutItem(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	want := []cost.Call{{Service: "DynamoDB", Operation: "PutItem", Attempts: 2, Units: cost.Units{Writes: 3}}}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if in.ReturnConsumedCapacity != "" {
		t.Error("the caller's input was changed")
	}
}

// TestPresigningIsNoCall has nobody be called.
func TestPresigningIsNoCall(t *testing.T) {
	t.Parallel()
	var seen []cost.Call
	cfg := clients(t, func(http.ResponseWriter, *http.Request) { t.Error("called") }, &seen)
	in := &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("k")}
	if _, err := s3.NewPresignClient(s3.NewFromConfig(cfg)).PresignGetObject(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	if len(seen) > 0 {
		t.Errorf("counted %+v", seen)
	}
}
