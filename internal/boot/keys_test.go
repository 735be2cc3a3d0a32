package boot_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/musketry/musketry/internal/boot"
)

// vault answers as SSM and Secrets Manager do, by name.
type vault struct {
	parameters, secrets map[string]string
	err                 error
	reads               int
}

func (v *vault) GetParameter(
	_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options),
) (*ssm.GetParameterOutput, error) {
	v.reads++
	value, ok := v.parameters[*in.Name]
	switch {
	case v.err != nil:
		return nil, v.err
	case !ok:
		return nil, &types.ParameterNotFound{}
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: &value}}, nil
}

func (v *vault) GetSecretValue(
	_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options),
) (*secretsmanager.GetSecretValueOutput, error) {
	v.reads++
	value, ok := v.secrets[*in.SecretId]
	switch {
	case v.err != nil:
		return nil, v.err
	case !ok:
		return nil, &smtypes.ResourceNotFoundException{}
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &value}, nil
}

func newVault() (*vault, *boot.Keys) {
	v := &vault{
		parameters: map[string]string{"/m/upstream-key": "own", "/m/keys/openai": "one", "/m/keys/empty": "\n"},
		secrets:    map[string]string{"m/keys/azure/eu": "two"},
	}
	cfg := boot.Config{UpstreamKeyParameter: "/m/upstream-key", KeyPrefix: "/m/keys/"}
	return v, boot.NewKeys(cfg, v, v, time.Now)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	v, keys := newVault()
	for range 2 {
		for named, want := range map[string]string{"default": "own", "ssm:openai": "one", "secretsmanager:azure/eu": "two"} {
			if got, err := keys.Key(t.Context(), named); got != want || err != nil {
				t.Errorf("%s is %q, %v, want %q", named, got, err, want)
			}
		}
	}
	if v.reads != 3 {
		t.Errorf("%d reads of three keys, want 3", v.reads)
	}
	for named, want := range map[string]string{
		"ssm:none": "/m/keys/none", "secretsmanager:none": "m/keys/none", "ssm:empty": "/m/keys/empty", "ssm:": "no place",
		"one": "no place", "vault:one": "neither",
	} {
		got, err := keys.Key(t.Context(), named)
		if got != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is %q, %v, want an error that says %q", named, got, err, want)
		}
	}
	delete(v.parameters, "/m/upstream-key")
	fresh := boot.NewKeys(boot.Config{UpstreamKeyParameter: "/m/upstream-key"}, v, v, time.Now)
	if got, err := fresh.Key(t.Context(), "default"); got != "" || err != nil {
		t.Errorf("the deployment's own key, which is absent, is %q, %v", got, err)
	}
	if got, err := fresh.Key(t.Context(), "ssm:openai"); got != "" || err == nil {
		t.Errorf("a key without a prefix is %q, %v", got, err)
	}
}

// TestAMissingKeyIsLookedForSoon, and one that is taken away is used no more, while one that cannot be read is.
func TestAMissingKeyIsLookedForSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v, keys := newVault()
		expect := func(named, want string, reads int) {
			t.Helper()
			got, err := keys.Key(t.Context(), named)
			if got != want || (err == nil) != (want != "") || v.reads != reads {
				t.Fatalf("%s is %q, %v after %d reads, want %q after %d", named, got, err, v.reads, want, reads)
			}
		}
		expect("ssm:late", "", 1)
		expect("ssm:late", "", 1)
		v.parameters["/m/keys/late"] = "there"
		time.Sleep(5 * time.Second)
		expect("ssm:late", "there", 2)
		v.err = errors.New("throttled")
		time.Sleep(4 * time.Minute)
		expect("ssm:late", "there", 3)
		v.err = nil
		delete(v.parameters, "/m/keys/late")
		time.Sleep(4 * time.Minute)
		expect("ssm:late", "", 4)
		v.err = errors.New("throttled")
		time.Sleep(5 * time.Second)
		expect("ssm:late", "", 5)
	})
}
