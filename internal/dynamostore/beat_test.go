package dynamostore_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/state"
)

// A throttling transport refuses so many requests, and then takes all.
type throttling struct {
	refuses int64
	asked   atomic.Int64
}

func (t *throttling) Do(r *http.Request) (*http.Response, error) {
	time.Sleep(5 * time.Millisecond)
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{}`)), Request: r}
	if t.asked.Add(1) <= t.refuses {
		res.StatusCode = http.StatusBadRequest
		res.Body = io.NopCloser(strings.NewReader(`{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate exceeded"}`))
	}
	return res, nil
}

// TestBeatsSurviveThrottling has a table that refuses 14 of 15 writes: a beat has
// four seconds, and four of them in a row must fail before a worker lets go of
// its calls.
func TestBeatsSurviveThrottling(t *testing.T) {
	t.Parallel()
	const runs = 20
	for range runs {
		synctest.Test(t, func(t *testing.T) {
			table := &throttling{refuses: 14}
			cfg := aws.Config{
				Region: "us-east-1", HTTPClient: table,
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
				}),
			}
			client := dynamostore.NewClient(cfg, func(o *dynamodb.Options) { o.HTTPClient = table })
			s, err := dynamostore.New(client, dynamostore.Config{Table: "table", Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			if err := s.Beat(ctx, state.Worker{ID: "w", BeatAt: time.Now()}); err != nil {
				t.Errorf("after %d tries: %v", table.asked.Load(), err)
			}
		})
	}
}
