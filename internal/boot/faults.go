//go:build faults

package boot

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/musketry/musketry/internal/metric"
)

// EnvFaults says which calls of AWS fail, as "seed=7 error=0.02 throttle=0.02
// timeout=0.02 lasting=0.1": of all calls the part that each kind of fault hits,
// and of these the part whose every attempt it hits, and not only the first, so
// that the SDK's own retries do not hide it. What is left out is 0. Each process
// draws its calls' lots by the seed and its own id.
const EnvFaults = "MUSKETRY_FAULTS"

// The kinds of faults.
const (
	faultError    = "error"    // nobody listens: the call is not sent
	faultThrottle = "throttle" // the service refuses it, as it says that it is busy
	faultTimeout  = "timeout"  // it has its effect, and its answer is lost
)

// faults returns what has the calls of AWS fail as EnvFaults says. It returns an
// error wrapping ErrEnvironment if that cannot be read.
func faults(metrics *Metrics) ([]func(*middleware.Stack) error, error) {
	rates := map[string]float64{"seed": 0, faultError: 0, faultThrottle: 0, faultTimeout: 0, "lasting": 0}
	for field := range strings.FieldsSeq(os.Getenv(EnvFaults)) {
		name, text, _ := strings.Cut(field, "=")
		value, err := strconv.ParseFloat(text, 64)
		if _, ok := rates[name]; !ok || err != nil || value < 0 {
			return nil, fmt.Errorf("%w: %s: %q", ErrEnvironment, EnvFaults, field)
		}
		rates[name] = value
	}
	random := rand.New(rand.NewPCG(uint64(rates["seed"]), uint64(os.Getpid()))) //nolint:gosec // no secret hangs on it
	f := &faulter{rates: rates, metrics: metrics, random: random}
	return []func(*middleware.Stack) error{f.install}, nil
}

// A faulter decides which calls fail. It may be used by many goroutines at once.
type faulter struct {
	rates   map[string]float64
	metrics *Metrics

	mu     sync.Mutex
	random *rand.Rand
}

// A fault is the lot of one call, whose attempts follow each other.
type fault struct {
	kind    string
	once    bool
	injured bool
}

type faultKey struct{}

// install draws a call's lot before the SDK retries anything, and has it strike
// where an attempt is sent.
func (f *faulter) install(stack *middleware.Stack) error {
	draw := middleware.InitializeMiddlewareFunc("DrawFault", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(context.WithValue(ctx, faultKey{}, f.draw()), in)
	})
	if err := stack.Initialize.Add(draw, middleware.After); err != nil {
		return err
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("InjectFault", f.inject), middleware.After)
}

// draw returns a call's lot.
func (f *faulter) draw() *fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	lot, lasts := f.random.Float64(), f.random.Float64() < f.rates["lasting"]
	for _, kind := range []string{faultError, faultThrottle, faultTimeout} {
		if lot < f.rates[kind] {
			return &fault{kind: kind, once: !lasts}
		}
		lot -= f.rates[kind]
	}
	return &fault{}
}

// inject sends an attempt, or has it fail.
func (f *faulter) inject(
	ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
) (middleware.DeserializeOutput, middleware.Metadata, error) {
	lot, ok := ctx.Value(faultKey{}).(*fault)
	if !ok || lot.kind == "" || lot.once && lot.injured {
		return next.HandleDeserialize(ctx, in)
	}
	lot.injured = true
	service := awsmiddleware.GetServiceID(ctx)
	f.metrics.Count(metric.InjectedFaults, 1, "service", service, "operation", awsmiddleware.GetOperationName(ctx), "kind", lot.kind)
	out := middleware.DeserializeOutput{RawResponse: answer(http.StatusOK, "")}
	switch lot.kind {
	case faultThrottle:
		out.RawResponse = throttled(service)
		return out, middleware.Metadata{}, nil
	case faultTimeout:
		sent, metadata, err := next.HandleDeserialize(ctx, in)
		if res, ok := sent.RawResponse.(*smithyhttp.Response); ok && err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		return out, metadata, &smithyhttp.RequestSendError{Err: context.DeadlineExceeded}
	default:
		refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		return out, middleware.Metadata{}, &smithyhttp.RequestSendError{Err: refused}
	}
}

// throttled returns the answer of a service that is called too often.
func throttled(service string) *smithyhttp.Response {
	switch service {
	case "S3": // https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
		return answer(http.StatusServiceUnavailable, `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
	case "DynamoDB": // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
		return answer(http.StatusBadRequest,
			`{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"too many"}`)
	case "SQS": // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
		return answer(http.StatusForbidden, `{"__type":"com.amazonaws.sqs#RequestThrottled","message":"too many"}`)
	default: // https://docs.aws.amazon.com/step-functions/latest/apireference/CommonErrors.html
		return answer(http.StatusBadRequest, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
	}
}

func answer(status int, body string) *smithyhttp.Response {
	return &smithyhttp.Response{Response: &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}}
}
