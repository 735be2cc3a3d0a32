package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// noneSaid says, in place of a provider's address or key, that there is none.
const noneSaid = "none"

// A keyReader is what of SSM tells whether a key is there.
type keyReader interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// hasKey returns an error if the default route would have no key: neither is one given, nor was one kept before, nor is it
// said that there is no such route or that its provider wants none. A deployment without it takes batches, whose requests
// then all wait for a key.
func (a account) hasKey(ctx context.Context, parameters keyReader) error {
	if a.parameter("upstreamBaseUrl", a.upstream) == noneSaid || a.key != "" {
		return nil
	}
	name := a.parameter("upstreamKeyParameter", "/"+strings.ToLower(a.stack())+"/upstream-key")
	_, err := parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name)})
	if _, missing := errors.AsType[*types.ParameterNotFound](err); missing {
		return fmt.Errorf("there is no provider's key, neither in UPSTREAM_API_KEY nor in SSM as %s: set UPSTREAM_API_KEY; or say that "+
			"there is none: UPSTREAM_API_KEY=none where the provider wants no key, UPSTREAM_BASE_URL=none where there is no default "+
			"route and \"musketry admin models set\" says where requests go", name)
	}
	if err != nil {
		return fmt.Errorf("look for the provider's key (ssm:GetParameter on %s): %w", name, err)
	}
	return nil
}
