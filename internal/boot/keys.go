package boot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/musketry/musketry/internal/route"
)

// maxKeys is how many keys are kept: as many as the routes of a thousand models
// could name never are in use.
const maxKeys = 1000

// Secrets is the one method of Secrets Manager that Keys need.
type Secrets interface {
	GetSecretValue(
		ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options),
	) (*secretsmanager.GetSecretValueOutput, error)
}

// Keys are the keys of upstreams, each kept as a Secret. They may be used by many
// goroutines at once.
type Keys struct {
	own     *Secret // the deployment's
	prefix  string
	params  Parameters
	secrets Secrets
	clock   func() time.Time

	mu    sync.Mutex
	known map[string]*Secret // by what a route says
}

// NewKeys returns the keys below cfg's prefix, and the deployment's own.
func NewKeys(cfg Config, params Parameters, secrets Secrets, clock func() time.Time) *Keys {
	return &Keys{
		own: NewSecret(cfg.UpstreamKeyParameter, params, clock), prefix: cfg.KeyPrefix, params: params, secrets: secrets,
		clock: clock, known: map[string]*Secret{},
	}
}

// Key returns the key that a route's Auth.Key names: that of route.DefaultKey is ""
// if the deployment has none, and any other must be there. A key that is changed is
// used within 3 minutes, one that was missing within 5 seconds. The error says where
// the key should lie, and never what it is.
func (k *Keys) Key(ctx context.Context, named string) (string, error) {
	if named == route.DefaultKey {
		return k.own.Value(ctx)
	}
	secret, err := k.secret(named)
	if err != nil {
		return "", err
	}
	return secret.Value(ctx)
}

func (k *Keys) secret(named string) (*Secret, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, ok := k.known[named]; ok {
		return s, nil
	}
	kind, name, _ := strings.Cut(named, ":")
	read, where := k.readParameter, k.prefix+name
	switch {
	case k.prefix == "" || name == "":
		return nil, errors.New("boot: a key has no place in this deployment")
	case kind == "secretsmanager":
		read, where = k.readSecret, strings.TrimPrefix(where, "/")
	case kind != "ssm":
		return nil, errors.New("boot: a key is neither in SSM nor in Secrets Manager")
	}
	if len(k.known) >= maxKeys {
		clear(k.known)
	}
	k.known[named] = newSecret(func(ctx context.Context) (string, error) {
		value, err := read(ctx, where)
		if err == nil && strings.TrimSpace(value) == "" {
			err = fmt.Errorf("boot: the key %s is empty: %w", where, errAbsent)
		}
		return value, err
	}, k.clock)
	return k.known[named], nil
}

func (k *Keys) readParameter(ctx context.Context, name string) (string, error) {
	return readParameter(ctx, k.params, name)
}

// readSecret reads a secret of Secrets Manager that is one text. The error wraps
// errAbsent if there is none.
func (k *Keys) readSecret(ctx context.Context, name string) (string, error) {
	out, err := k.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	if _, absent := errors.AsType[*types.ResourceNotFoundException](err); absent {
		err = errAbsent
	}
	if err != nil {
		return "", fmt.Errorf("boot: read secret %s: %w", name, err)
	}
	return aws.ToString(out.SecretString), nil
}
