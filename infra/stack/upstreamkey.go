package stack

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/internal/boot"
)

// An UpstreamKey is the SSM SecureString with the provider's key. The stack only refers to it: CloudFormation cannot make a
// SecureString, and a key has no place in a template.
type UpstreamKey struct {
	stack awscdk.Stack
	name  string
}

// NewUpstreamKey names the parameter, which starts with a slash.
func NewUpstreamKey(stack awscdk.Stack, name string) *UpstreamKey {
	return &UpstreamKey{stack: stack, name: name}
}

// GrantRead lets a function read the key. Decrypting with the account's own key for SSM needs no permission beside it;
// a key of one's own would.
// https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
func (k *UpstreamKey) GrantRead(fn *Function) {
	fn.Allow(k.stack.FormatArn(&awscdk.ArnComponents{
		Service:      jsii.String("ssm"),
		Resource:     jsii.String("parameter"),
		ResourceName: jsii.String(strings.TrimPrefix(k.name, "/")),
	}), "ssm:GetParameter")
	fn.Setenv(boot.EnvUpstreamKeyParameter, &k.name)
}
