package stack

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/internal/boot"
)

// APIProps name the API, its stage and the function behind every path.
type APIProps struct {
	Name      string
	Stage     string  // Last segment of the base URL.
	Streaming bool    // Whether boot.StreamedRoutes are streamed.
	Rate      float64 // Requests a second that a stage takes, over all clients.
	Burst     float64 // Requests at once beyond that.
	Gate      *GateProps
	Handler   *Function
}

// NewAPI adds the REST API: every method and path goes to one function, by a stream where answers may be large, and what
// the gateway itself refuses is told in OpenAI's error envelope.
func NewAPI(scope constructs.Construct, id string, props *APIProps) awsapigateway.RestApi {
	// What is refused here costs neither an invocation nor a read, and leaves the account's concurrency to execute.
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
	options := props.Gate.stage(scope, id)
	options.StageName, options.ThrottlingRateLimit, options.ThrottlingBurstLimit = &props.Stage, &props.Rate, &props.Burst
	api := awsapigateway.NewRestApi(scope, &id, &awsapigateway.RestApiProps{
		RestApiName: &props.Name,
		Description: jsii.String("OpenAI Files and Batches API of Musketry"),
		// A file upload is bytes; everything else is text and stays readable. The SDKs accept application/binary where
		// they download: only then the gateway decodes an answer in base64, which a file that is no text needs.
		// https://docs.aws.amazon.com/apigateway/latest/developerguide/lambda-proxy-binary-media.html
		BinaryMediaTypes: jsii.Strings("multipart/form-data", "application/binary", "application/octet-stream"),
		// Clients are anywhere, but a batch's traffic is small: no edge locations are needed.
		EndpointTypes: &[]awsapigateway.EndpointType{awsapigateway.EndpointType_REGIONAL},
		// Access logs need a role that is a setting of the whole account, which is not this stack's to change.
		CloudWatchRole: jsii.Bool(false),
		Policy:         props.Gate.policy(),
		DeployOptions:  options,
	})
	api.Node().TryRemoveChild(jsii.String("Endpoint")) // CDK's own output, whose name says nothing
	integration := awsapigateway.NewLambdaIntegration(props.Handler.Function, &awsapigateway.LambdaIntegrationOptions{
		AllowTestInvoke: jsii.Bool(false),
	})
	api.Root().AddMethod(jsii.String("ANY"), integration, nil)
	api.Root().AddProxy(&awsapigateway.ProxyResourceOptions{DefaultIntegration: integration})
	if props.Streaming {
		for _, route := range boot.StreamedRoutes() {
			addStream(api, route, integration, awsapigateway.NewLambdaIntegration(props.Handler.Function, streamOptions()))
		}
	}
	props.Gate.guard(scope, id+"Firewall", api.DeploymentStage(), addAzureStage(api, props, options))
	for _, refusal := range refusals() {
		api.AddGatewayResponse(jsii.String(refusal.id), refusal.options())
	}
	return api
}

// AzureStage is the second stage: Azure's clients ask for {endpoint}/openai/batches, so that their endpoint is the API's own
// address without a stage.
// https://learn.microsoft.com/azure/ai-services/openai/how-to/batch
const AzureStage = "openai"

// addAzureStage serves the same deployment under AzureStage, with the first stage's limits and logs. A permission of its own
// lets it ask the function, since those of the methods name the first stage.
func addAzureStage(api awsapigateway.RestApi, props *APIProps, first *awsapigateway.StageOptions) awsapigateway.Stage {
	props.Handler.AddPermission(jsii.String("AzureStage"), &awslambda.Permission{
		Principal: awsiam.NewServicePrincipal(jsii.String("apigateway.amazonaws.com"), nil),
		SourceArn: api.ArnForExecuteApi(jsii.String("*"), jsii.String("/*"), jsii.String(AzureStage)),
	})
	return awsapigateway.NewStage(api, jsii.String("Azure"), &awsapigateway.StageProps{
		Deployment: api.LatestDeployment(), StageName: jsii.String(AzureStage),
		ThrottlingRateLimit: first.ThrottlingRateLimit, ThrottlingBurstLimit: first.ThrottlingBurstLimit,
		AccessLogDestination: first.AccessLogDestination, AccessLogFormat: first.AccessLogFormat,
		LoggingLevel: first.LoggingLevel, DataTraceEnabled: first.DataTraceEnabled,
	})
}

// azureEndpoint is the API's address without a stage.
func azureEndpoint(api awsapigateway.RestApi) *string {
	return awscdk.Fn_Sub(jsii.String("https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}"),
		&map[string]*string{"Api": api.RestApiId()})
}

// streamMinutes is how long a streamed answer may take, API Gateway's own maximum:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html
const streamMinutes = 15

// streamOptions have the gateway pass an answer on while the function writes it. They are CDK's own properties and no overrides
// of a resource's: CDK makes a new deployment where they change, and without one a stage serves what it served.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
func streamOptions() *awsapigateway.LambdaIntegrationOptions {
	return &awsapigateway.LambdaIntegrationOptions{
		AllowTestInvoke:      jsii.Bool(false),
		ResponseTransferMode: awsapigateway.ResponseTransferMode_STREAM,
		Timeout:              awscdk.Duration_Minutes(jsii.Number(streamMinutes)),
	}
}

// addStream adds a route, "GET /path", that goes to an integration of its own. What else is asked for on the way to it goes
// where everything goes, by methods of its own: then nothing hangs on what the gateway does with a path that has a resource
// but no method.
func addStream(api awsapigateway.RestApi, route string, rest, stream awsapigateway.Integration) {
	method, path, _ := strings.Cut(route, " ")
	node := api.Root()
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if !strings.HasPrefix(part, "{") {
			addCatchAll(node, rest)
		}
		next := node.GetResource(&part)
		if next == nil {
			next = node.AddResource(&part, nil)
			next.AddMethod(jsii.String("ANY"), rest, nil)
		}
		node = next
	}
	node.AddMethod(&method, stream, nil)
}

// addCatchAll sends what lies below a resource, and has none of its own, to an integration. It is not for a resource with
// a child like {id}, beside which API Gateway takes no second variable.
func addCatchAll(node awsapigateway.IResource, rest awsapigateway.Integration) {
	if node.GetResource(jsii.String("{proxy+}")) == nil {
		node.AddProxy(&awsapigateway.ProxyResourceOptions{DefaultIntegration: rest})
	}
}

// A refusal is an answer that the gateway gives without asking the function.
type refusal struct {
	id     string
	kind   awsapigateway.ResponseType
	status string // Empty keeps the gateway's own.
	// message is JSON: a quoted text, or the gateway's own by $context.error.messageString, which is quoted already.
	message string
	errType string
	code    string // JSON: a quoted text or null.
	headers map[string]string
}

// refusals are the gateway's answers that have another shape than OpenAI's, such as {"message":"Too Many Requests"}. What
// is not named one by one falls back to the two defaults.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
func refusals() []refusal {
	const (
		gatewayMessage = "$context.error.messageString"
		invalid        = "invalid_request_error"
		server         = "server_error"
	)
	return []refusal{
		{
			id: "TooLarge", kind: awsapigateway.ResponseType_REQUEST_TOO_LARGE(), status: "413",
			message: `"The request is larger than this endpoint takes."`, errType: invalid, code: `"request_too_large"`,
		},
		{
			id: "NoSuchPath", kind: awsapigateway.ResponseType_MISSING_AUTHENTICATION_TOKEN(), status: "404",
			message: `"Unknown request URL."`, errType: invalid, code: `"unknown_url"`,
		},
		{
			id: "Throttled", kind: awsapigateway.ResponseType_THROTTLED(), status: "429",
			message: `"Rate limit reached: this deployment takes no more requests at the moment. Try again shortly."`,
			errType: "requests", code: `"rate_limit_exceeded"`,
			// A second is what the stage needs to take its rate again.
			headers: map[string]string{"Retry-After": "1", "X-Should-Retry": "true"},
		},
		{
			id: "Denied", kind: awsapigateway.ResponseType_ACCESS_DENIED(), status: "403",
			message: `"Access denied."`, errType: invalid, code: `"access_denied"`,
		},
		{
			id: "TimedOut", kind: awsapigateway.ResponseType_INTEGRATION_TIMEOUT(), status: "504",
			message: `"The server took too long to answer. Try again."`, errType: server, code: "null",
		},
		{id: "Refused", kind: awsapigateway.ResponseType_DEFAULT_4XX(), message: gatewayMessage, errType: invalid, code: "null"},
		{id: "Failed", kind: awsapigateway.ResponseType_DEFAULT_5XX(), message: gatewayMessage, errType: server, code: "null"},
	}
}

func (r refusal) options() *awsapigateway.GatewayResponseOptions {
	options := &awsapigateway.GatewayResponseOptions{
		Type: r.kind,
		Templates: &map[string]*string{"application/json": jsii.String(fmt.Sprintf(
			`{"error":{"message":%s,"type":"%s","param":null,"code":%s}}`, r.message, r.errType, r.code))},
	}
	if r.status != "" {
		options.StatusCode = &r.status
	}
	if r.headers != nil {
		headers := map[string]*string{}
		for name, value := range r.headers {
			headers[name] = jsii.String("'" + value + "'") // a literal, as mappings have it
		}
		options.ResponseHeaders = &headers
	}
	return options
}
