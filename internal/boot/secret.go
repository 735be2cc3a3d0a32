package boot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

const (
	// secretFresh is how long a secret is used before it is read again, so that
	// a changed key takes effect without a deploy.
	secretFresh = 3 * time.Minute
	// secretStale is how long a secret stays in use while it cannot be read.
	secretStale = time.Hour
	// secretPause is the wait after a read that failed.
	secretPause = 5 * time.Second
	// secretLimit bounds one read, its repeats included: calls wait for it.
	secretLimit = 15 * time.Second
)

// Parameters is the one method of SSM that a Secret needs.
type Parameters interface {
	GetParameter(ctx context.Context, in *ssm.GetParameterInput, opts ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// errAbsent reports a secret that is not there, of those that must be.
var errAbsent = errors.New("it is not there")

// A Secret is kept for some minutes. It may be used by many goroutines at once.
type Secret struct {
	read  func(ctx context.Context) (string, error) // errAbsent: what was read before is void
	clock func() time.Time

	turn chan struct{} // holds one token: who takes it may read

	mu     sync.Mutex
	value  string
	known  bool // value was read at readAt
	readAt time.Time
	failed error
	failAt time.Time
}

// NewSecret returns the SSM SecureString called name. An empty name is a parameter
// that is absent: its value is "".
func NewSecret(name string, params Parameters, clock func() time.Time) *Secret {
	return newSecret(func(ctx context.Context) (string, error) {
		if name == "" {
			return "", nil
		}
		value, err := readParameter(ctx, params, name)
		if errors.Is(err, errAbsent) {
			return "", nil
		}
		return value, err
	}, clock)
}

func newSecret(read func(ctx context.Context) (string, error), clock func() time.Time) *Secret {
	return &Secret{read: read, clock: clock, turn: make(chan struct{}, 1)}
}

// Value returns the secret. It reads at most every 3 minutes, and while that fails
// it returns the last value for up to an hour. The error names the secret and never
// its value.
func (s *Secret) Value(ctx context.Context) (string, error) {
	if value, err, ok := s.cached(); ok {
		return value, err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if value, err, ok := s.cached(); ok { // another read it while this one waited
		return value, err
	}
	limited, cancel := context.WithTimeout(ctx, secretLimit)
	defer cancel()
	value, err := s.read(limited)
	return s.keep(value, err)
}

// cached returns what is known without a read, if that is fit for use.
func (s *Secret) cached() (value string, err error, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	age := now.Sub(s.readAt)
	switch {
	case s.known && age < secretFresh:
		return s.value, nil, true
	case s.failed == nil || now.Sub(s.failAt) >= secretPause:
		return "", nil, false
	case s.known && age < secretStale:
		return s.value, nil, true
	}
	return "", s.failed, true
}

// keep remembers what a read brought and returns what to use.
func (s *Secret) keep(value string, err error) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if err == nil {
		s.value, s.known, s.readAt, s.failed = value, true, now, nil
		return value, nil
	}
	s.failed, s.failAt = err, now
	s.known = s.known && !errors.Is(err, errAbsent)
	if s.known && now.Sub(s.readAt) < secretStale {
		return s.value, nil
	}
	return "", err
}

// readParameter reads an SSM SecureString. The error wraps errAbsent if there is
// none.
func readParameter(ctx context.Context, params Parameters, name string) (string, error) {
	out, err := params.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if _, absent := errors.AsType[*types.ParameterNotFound](err); absent {
		err = errAbsent
	}
	if err != nil {
		return "", fmt.Errorf("boot: read parameter %s: %w", name, err)
	}
	if out.Parameter == nil {
		return "", fmt.Errorf("boot: read parameter %s: %w", name, errAbsent)
	}
	return aws.ToString(out.Parameter.Value), nil
}
