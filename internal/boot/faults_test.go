//go:build faults

package boot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/boot"
)

// A service counts the requests that reach it, and answers each with 200.
type service struct{ requests int }

func (s *service) Do(r *http.Request) (*http.Response, error) {
	s.requests++
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// startWithFaults returns a kit whose calls reach s, but for the faults of a plan.
func startWithFaults(t *testing.T, s *service, plan string, out io.Writer) boot.Kit {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL": "http://aws.test", boot.EnvFaults: plan,
	} {
		t.Setenv(name, value)
	}
	kit, err := boot.Start(t.Context(), out, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	kit.AWS.HTTPClient = s
	return kit
}

// writes are a write of each service.
func writes(ctx context.Context, cfg aws.Config) map[string]func() error {
	text := aws.String("text")
	return map[string]func() error{
		"DynamoDB": func() error {
			_, err := dynamodb.NewFromConfig(cfg).PutItem(ctx, &dynamodb.PutItemInput{
				TableName: text, Item: map[string]dynamotypes.AttributeValue{"pk": &dynamotypes.AttributeValueMemberS{Value: "1"}},
			})
			return err
		},
		"SQS": func() error {
			_, err := sqs.NewFromConfig(cfg).DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: text, ReceiptHandle: text})
			return err
		},
		"S3": func() error {
			_, err := s3.NewFromConfig(cfg).PutObject(ctx, &s3.PutObjectInput{Bucket: text, Key: text, Body: strings.NewReader("text")})
			return err
		},
		"SFN": func() error {
			_, err := sfn.NewFromConfig(cfg).SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: text, Output: aws.String("{}")})
			return err
		},
		"SSM": func() error {
			_, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{Name: text})
			return err
		},
	}
}

// TestFaults has every call fail, in one way after the other: at each of its attempts the SDK makes of it what it makes of
// the real fault, and only the lost answer's call has reached its service.
//
//nolint:paralleltest // it sets the environment
func TestFaults(t *testing.T) {
	for kind, requests := range map[string]int{"error": 0, "throttle": 0, "timeout": 2} {
		s, out := &service{}, &bytes.Buffer{}
		kit := startWithFaults(t, s, kind+"=1 lasting=1", out)
		kit.AWS.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 2, time.Millisecond })
		}
		for name, write := range writes(t.Context(), kit.AWS) {
			s.requests = 0
			err := write()
			if tired := new(retry.MaxAttemptsError); !errors.As(err, &tired) || tired.Attempt != 2 || s.requests != requests {
				t.Errorf("%s: %s: %d requests, %v", name, kind, s.requests, err)
			}
			if !isFault(name, kind, err) {
				t.Errorf("%s: %s: %v", name, kind, err)
			}
		}
		kit.Metrics.Flush()
		if counted := strings.Count(out.String(), `"kind":"`+kind+`"`); counted != 5 {
			t.Errorf("%s: %d services are counted: %s", kind, counted, out)
		}
	}
}

// isFault reports whether err is what a service's fault of a kind is to the SDK.
func isFault(service, kind string, err error) bool {
	switch kind {
	case "error":
		return errors.Is(err, syscall.ECONNREFUSED)
	case "timeout":
		return errors.Is(err, context.DeadlineExceeded)
	}
	var coded smithy.APIError
	if !errors.As(err, &coded) {
		return false
	}
	switch service {
	case "DynamoDB":
		_, ok := errors.AsType[*dynamotypes.ProvisionedThroughputExceededException](err)
		return ok
	case "SQS":
		_, ok := errors.AsType[*sqstypes.RequestThrottled](err)
		return ok
	case "S3":
		return coded.ErrorCode() == "SlowDown"
	default:
		return coded.ErrorCode() == "ThrottlingException"
	}
}

// TestFaultsKeepToTheirPlan demands as many faults of each kind as were asked for, of one attempt each, and the same again
// for the same seed in the same process.
//
//nolint:paralleltest // it sets the environment
func TestFaultsKeepToTheirPlan(t *testing.T) {
	const calls = 2_000
	count := func(seed string) map[string]float64 {
		s, out := &service{}, &bytes.Buffer{}
		kit := startWithFaults(t, s, "seed="+seed+" error=0.01 throttle=0.02 timeout=0.04", out)
		kit.AWS.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 2, time.Millisecond, ratelimit.None
			})
		}
		write := writes(t.Context(), kit.AWS)["SQS"]
		for range calls {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		kit.Metrics.Flush()
		counted := map[string]float64{"requests": float64(s.requests)}
		for line := range strings.Lines(out.String()) {
			var metric struct {
				Kind  string  `json:"kind"`
				Total float64 `json:"faults_injected_total"`
			}
			if err := json.Unmarshal([]byte(line), &metric); err != nil {
				t.Fatal(err)
			}
			counted[metric.Kind] = metric.Total
		}
		return counted
	}
	got := count("3")
	for kind, about := range map[string]float64{"error": calls / 100, "throttle": calls / 50, "timeout": calls / 25} {
		if got[kind] < about/2 || got[kind] > about*2 {
			t.Errorf("%v %s faults, want about %v", got[kind], kind, about)
		}
	}
	if got["requests"] != calls+got["timeout"] {
		t.Errorf("%v requests, of which %v were sent again", got["requests"], got["timeout"])
	}
	if diff := cmp.Diff(got, count("3")); diff != "" {
		t.Errorf("the same seed has other faults (-first +second):\n%s", diff)
	}
	if cmp.Equal(got, count("4")) {
		t.Error("another seed has the same faults")
	}
}

// TestBadPlansOfFaults demands that a function does not start with a plan that cannot be read.
//
//nolint:paralleltest // it sets the environment
func TestBadPlansOfFaults(t *testing.T) {
	for _, plan := range []string{"errors=0.1", "error", "error=x", "error=-1"} {
		t.Setenv("AWS_REGION", "eu-central-1")
		t.Setenv(boot.EnvFaults, plan)
		if _, err := boot.Start(t.Context(), io.Discard, time.Now); !errors.Is(err, boot.ErrEnvironment) {
			t.Errorf("%q: %v", plan, err)
		}
	}
}
