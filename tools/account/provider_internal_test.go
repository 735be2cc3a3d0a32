package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// A shelf has parameters by their names.
type shelf map[string]bool

var errShelf = errors.New("no such right")

func (s shelf) GetParameter(
	_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options),
) (*ssm.GetParameterOutput, error) {
	if aws.ToBool(in.WithDecryption) {
		return nil, errors.New("the key itself was asked for")
	}
	if s["broken"] {
		return nil, errShelf
	}
	if !s[*in.Name] {
		return nil, &types.ParameterNotFound{}
	}
	return &ssm.GetParameterOutput{}, nil
}

// A deployment whose default route has no key is refused before anything is changed, unless it is said that there is none.
func TestDeployWantsAKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		account account
		kept    shelf
		want    string
	}{
		"none at all":         {want: "set UPSTREAM_API_KEY"},
		"of another name":     {account: account{contexts: []string{"name=Other"}}, want: "in SSM as /other/upstream-key"},
		"elsewhere":           {account: account{contexts: []string{"upstreamKeyParameter=/k"}}, want: "in SSM as /k:"},
		"given":               {account: account{key: "sk-1"}},
		"kept":                {kept: shelf{"/musketry/upstream-key": true}},
		"kept elsewhere":      {account: account{contexts: []string{"upstreamKeyParameter=/k"}}, kept: shelf{"/k": true}},
		"not wanted":          {account: account{key: "none"}},
		"no default route":    {account: account{upstream: "none"}},
		"none in the context": {account: account{contexts: []string{"upstreamBaseUrl=none"}}},
		"the context counts":  {account: account{upstream: "none", contexts: []string{"upstreamBaseUrl=https://p/v1"}}, want: "set UPSTREAM_API_KEY"},
		"unknown":             {kept: shelf{"broken": true}, want: "ssm:GetParameter on /musketry/upstream-key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.account.hasKey(t.Context(), c.kept)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
