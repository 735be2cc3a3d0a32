package boot_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/musketry/musketry/internal/boot"
)

// parameters answers as SSM does for one parameter.
type parameters struct {
	value string // empty: absent
	err   error
	dead  bool // reads get no answer
	reads int
}

func (p *parameters) GetParameter(
	ctx context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options),
) (*ssm.GetParameterOutput, error) {
	p.reads++
	if p.dead {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	switch {
	case !aws.ToBool(in.WithDecryption):
		return nil, errors.New("the parameter is encrypted")
	case p.err != nil:
		return nil, p.err
	case p.value == "":
		return nil, &types.ParameterNotFound{}
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: &p.value}}, nil
}

func TestSecretIsKeptForMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &parameters{value: "one"}
		secret := boot.NewSecret("name", store, time.Now)
		expect := func(want string, reads int) {
			t.Helper()
			got, err := secret.Value(t.Context())
			if err != nil || got != want || store.reads != reads {
				t.Fatalf("got %q, %v after %d reads, want %q after %d", got, err, store.reads, want, reads)
			}
		}
		expect("one", 1)
		store.value = "two"
		time.Sleep(2 * time.Minute)
		expect("one", 1)
		time.Sleep(2 * time.Minute)
		expect("two", 2)
		store.err = errors.New("throttled")
		time.Sleep(4 * time.Minute)
		expect("two", 3) // the last value stays in use
		expect("two", 3) // and SSM is left alone for a while
		time.Sleep(time.Hour)
		if _, err := secret.Value(t.Context()); !errors.Is(err, store.err) {
			t.Fatalf("error is %v, want the store's", err)
		}
		store.err, store.value = nil, ""
		store.dead = true
		time.Sleep(10 * time.Second)
		start := time.Now()
		if _, err := secret.Value(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 15*time.Second {
			t.Fatalf("error after %v is %v", time.Since(start), err)
		}
		store.dead = false
		time.Sleep(10 * time.Second)
		expect("", 6) // absent is no error
	})
}

func TestSecretWithoutName(t *testing.T) {
	t.Parallel()
	store := &parameters{value: "x"}
	if got, err := boot.NewSecret("", store, time.Now).Value(t.Context()); got != "" || err != nil || store.reads > 0 {
		t.Fatalf("got %q, %v after %d reads", got, err, store.reads)
	}
}
