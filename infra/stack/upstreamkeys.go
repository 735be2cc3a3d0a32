package stack

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/internal/boot"
)

// UpstreamKeys are the keys of providers: the SSM SecureString of the default route's, and all SecureStrings and secrets below
// one prefix, which routes name. The stack only refers to them: CloudFormation cannot make a SecureString, and a key has no
// place in a template.
type UpstreamKeys struct {
	stack  awscdk.Stack
	name   string // Starts with a slash.
	prefix string // Starts and ends with one.
}

// NewUpstreamKeys names them.
func NewUpstreamKeys(stack awscdk.Stack, props *Props) *UpstreamKeys {
	return &UpstreamKeys{
		stack: stack, name: props.UpstreamKeyParameter, prefix: "/" + strings.ToLower(props.Name) + "/keys/",
	}
}

// GrantRead lets a function read the keys. Decrypting with the account's own keys for SSM and Secrets Manager needs no
// permission beside it; a key of one's own would.
// https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
// https://docs.aws.amazon.com/kms/latest/developerguide/services-secrets-manager.html
func (k *UpstreamKeys) GrantRead(fn *Function) {
	below := k.prefix + "*"
	fn.Allow(k.arn("ssm", "parameter", k.name), "ssm:GetParameter")
	fn.Allow(k.arn("ssm", "parameter", below), "ssm:GetParameter")
	fn.Allow(k.arn("secretsmanager", "secret", below), "secretsmanager:GetSecretValue")
	fn.Setenv(boot.EnvUpstreamKeyParameter, &k.name)
	fn.Setenv(boot.EnvKeyPrefix, &k.prefix)
}

// arn names what has a path for its name: without the path's first slash.
func (k *UpstreamKeys) arn(service, resource, path string) *string {
	format := awscdk.ArnFormat_SLASH_RESOURCE_NAME
	if service == "secretsmanager" {
		format = awscdk.ArnFormat_COLON_RESOURCE_NAME
	}
	return k.stack.FormatArn(&awscdk.ArnComponents{
		Service: &service, Resource: &resource, ResourceName: jsii.String(strings.TrimPrefix(path, "/")), ArnFormat: format,
	})
}
