package boot

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/middleware"
)

const (
	// idleConns is how many connections to AWS's services are kept, all of them
	// together: as many as an invocation commonly has calls in flight. The SDK's
	// own 10 a service would cost each further one a TLS handshake; a Lambda has
	// 1,024 file descriptors for everything
	// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
	idleConns = 64
	// connBuffer is how many bytes a connection reads or writes at once: most calls
	// and answers of DynamoDB and SQS whole, of 25 statements or ten messages. By
	// net/http's own 4 KB each takes several.
	connBuffer = 16 << 10
	// awsAttempts is how often the SDK makes one call, the first included.
	awsAttempts = 5
	// awsBackoff is the longest wait between two of them.
	awsBackoff = 5 * time.Second
	// connectTimeout bounds each dial, and attemptTimeout one attempt from its
	// dial to the last byte of its answer. AWS answers in milliseconds: a silence
	// so long is a dead connection.
	connectTimeout = 5 * time.Second
	attemptTimeout = 10 * time.Second
)

// AWS returns AWS's configuration from the environment: region, credentials
// and, where AWS_ENDPOINT_URL is set, another endpoint than AWS's own. Its
// calls retry throttles and network errors with jitter, at most 5 times, each
// time for at most 10 seconds; who streams bodies chooses another bound.
func AWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithHTTPClient(awshttp.NewBuildableClient().
			WithTimeout(attemptTimeout).
			WithDialerOptions(dialer).
			WithTransportOptions(transport)),
		config.WithRetryer(retryer),
		config.WithAPIOptions([]func(*middleware.Stack) error{plainBodies}),
	)
	if err != nil {
		return aws.Config{}, fmt.Errorf("boot: AWS configuration: %w", err)
	}
	return cfg, nil
}

func dialer(d *net.Dialer) { d.Timeout = connectTimeout }

func transport(t *http.Transport) {
	t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConns, idleConns
	t.ReadBufferSize, t.WriteBufferSize = connBuffer, connBuffer
}

func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = awsAttempts
		o.MaxBackoff = awsBackoff
		// The SDK's client-wide quota of retries would fail most of an
		// invocation's writes under a throttle; each write has its own bound.
		o.RateLimiter = ratelimit.None
	})
}
