package stack

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awswafv2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// GateProps say who may come to the API, and what is written down of those who do. All of it is off by default.
type GateProps struct {
	Log      bool     // A line of each request, and the gateway's own errors.
	Networks []string // What they come from, in CIDR notation; empty: from anywhere.
	Firewall bool     // AWS WAF in front of each stage.
	Rate     float64  // Requests of one address in five minutes that the firewall lets through, 10 to 2,000,000,000.
}

// accessLine is what is written down of a request: no query, no header and no body, which may hold a key or a prompt.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
const accessLine = `{"time":"$context.requestTimeEpoch","request_id":"$context.requestId","ip":"$context.identity.sourceIp",` +
	`"method":"$context.httpMethod","path":"$context.path","status":"$context.status","bytes":"$context.responseLength",` +
	`"milliseconds":"$context.responseLatency","refusal":"$context.error.responseType"}`

// stage gives the options that both stages have. Where requests are logged, the account must have named a role that API Gateway
// writes logs by, once for all its APIs: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
func (p *GateProps) stage(scope constructs.Construct, id string) *awsapigateway.StageOptions {
	options := &awsapigateway.StageOptions{}
	if p.Log {
		options.AccessLogDestination = awsapigateway.NewLogGroupLogDestination(newLogGroup(scope, id+"Log", ""))
		options.AccessLogFormat = awsapigateway.AccessLogFormat_Custom(jsii.String(accessLine))
		options.LoggingLevel = awsapigateway.MethodLoggingLevel_ERROR
		options.DataTraceEnabled = jsii.Bool(false) // it would have bodies and keys
	}
	return options
}

// policy lets requests come from some networks only, or is nil.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html
func (p *GateProps) policy() awsiam.PolicyDocument {
	if len(p.Networks) == 0 {
		return nil
	}
	statement := func(effect awsiam.Effect, conditions *map[string]any) awsiam.PolicyStatement {
		return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Effect: effect, Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()}, Actions: jsii.Strings("execute-api:Invoke"),
			Resources: jsii.Strings("execute-api:/*"), Conditions: conditions,
		})
	}
	elsewhere := map[string]any{"NotIpAddress": map[string]any{"aws:SourceIp": p.Networks}}
	return awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &[]awsiam.PolicyStatement{
		statement(awsiam.Effect_ALLOW, nil), statement(awsiam.Effect_DENY, &elsewhere),
	}})
}

// guard puts the firewall in front of the stages: it refuses an address that sends too much, and those that AWS knows for
// attacks. No rule reads bodies: the managed ones that do take prompts for attacks, and refuse every body of more than 8 KB.
// https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-ip-rep.html
func (p *GateProps) guard(scope constructs.Construct, id string, stages ...awsapigateway.Stage) {
	if !p.Firewall {
		return
	}
	visible := func(name string) *awswafv2.CfnWebACL_VisibilityConfigProperty {
		return &awswafv2.CfnWebACL_VisibilityConfigProperty{
			CloudWatchMetricsEnabled: jsii.Bool(true), MetricName: &name, SampledRequestsEnabled: jsii.Bool(false),
		}
	}
	acl := awswafv2.NewCfnWebACL(scope, &id, &awswafv2.CfnWebACLProps{
		Scope: jsii.String("REGIONAL"), VisibilityConfig: visible(id),
		DefaultAction: &awswafv2.CfnWebACL_DefaultActionProperty{Allow: &awswafv2.CfnWebACL_AllowActionProperty{}},
		Rules: []any{
			&awswafv2.CfnWebACL_RuleProperty{
				Name: jsii.String("rate"), Priority: jsii.Number(0), VisibilityConfig: visible("rate"),
				Action: &awswafv2.CfnWebACL_RuleActionProperty{Block: &awswafv2.CfnWebACL_BlockActionProperty{}},
				Statement: &awswafv2.CfnWebACL_StatementProperty{RateBasedStatement: &awswafv2.CfnWebACL_RateBasedStatementProperty{
					AggregateKeyType: jsii.String("IP"), Limit: &p.Rate,
				}},
			},
			&awswafv2.CfnWebACL_RuleProperty{
				Name: jsii.String("reputation"), Priority: jsii.Number(1), VisibilityConfig: visible("reputation"),
				OverrideAction: &awswafv2.CfnWebACL_OverrideActionProperty{None: map[string]any{}},
				Statement: &awswafv2.CfnWebACL_StatementProperty{ManagedRuleGroupStatement: &awswafv2.CfnWebACL_ManagedRuleGroupStatementProperty{
					VendorName: jsii.String("AWS"), Name: jsii.String("AWSManagedRulesAmazonIpReputationList"),
				}},
			},
		},
	})
	for i, stage := range stages {
		association := awswafv2.NewCfnWebACLAssociation(scope, jsii.String(fmt.Sprintf("%sStage%d", id, i)), &awswafv2.CfnWebACLAssociationProps{
			ResourceArn: stage.StageArn(), WebAclArn: acl.AttrArn(),
		})
		association.Node().AddDependency(stage)
	}
}

// checkNetworks returns an error that quotes what is no network in CIDR notation.
func checkNetworks(networks []string) error {
	for _, text := range networks {
		if _, err := netip.ParsePrefix(text); err != nil {
			return fmt.Errorf("%.50q is no network such as 192.0.2.0/24", text)
		}
	}
	return nil
}

// leaveOut takes the resources of some types out of a stack, which must not be referred to.
func leaveOut(stack awscdk.Stack, types []string) {
	for _, node := range *stack.Node().FindAll(constructs.ConstructOrder_POSTORDER) {
		resource, ok := node.(awscdk.CfnResource)
		if ok && node.Node().Scope() != nil && slices.Contains(types, *resource.CfnResourceType()) {
			node.Node().Scope().Node().TryRemoveChild(node.Node().Id())
		}
	}
}
