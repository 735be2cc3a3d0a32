package stack

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// APIProps name the API, its stage and the function behind every path.
type APIProps struct {
	Name    string
	Stage   string // Last segment of the base URL.
	Handler *Function
}

// NewAPI adds the REST API: every method and path goes to one function, and what the gateway itself refuses is told in
// OpenAI's error envelope.
func NewAPI(scope constructs.Construct, id string, props *APIProps) awsapigateway.RestApi {
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
		DeployOptions:  &awsapigateway.StageOptions{StageName: &props.Stage},
	})
	api.Node().TryRemoveChild(jsii.String("Endpoint")) // CDK's own output, whose name says nothing
	integration := awsapigateway.NewLambdaIntegration(props.Handler.Function, &awsapigateway.LambdaIntegrationOptions{
		AllowTestInvoke: jsii.Bool(false),
	})
	api.Root().AddMethod(jsii.String("ANY"), integration, nil)
	api.Root().AddProxy(&awsapigateway.ProxyResourceOptions{DefaultIntegration: integration})
	for _, refusal := range refusals() {
		api.AddGatewayResponse(jsii.String(refusal.id), refusal.options())
	}
	return api
}

// refusal is an answer that the gateway gives without asking the function.
type refusal struct {
	id     string
	kind   awsapigateway.ResponseType
	status string // Empty keeps the gateway's own.
	// message is JSON: a quoted text, or the gateway's own by $context.error.messageString, which is quoted already.
	message string
	errType string
	code    string // JSON: a quoted text or null.
}

func refusals() []refusal {
	const (
		gatewayMessage = "$context.error.messageString"
		invalid        = "invalid_request_error"
	)
	return []refusal{
		{
			"TooLarge", awsapigateway.ResponseType_REQUEST_TOO_LARGE(), "413",
			`"The request is larger than this endpoint takes."`, invalid, `"request_too_large"`,
		},
		{
			"NoSuchPath", awsapigateway.ResponseType_MISSING_AUTHENTICATION_TOKEN(), "404",
			`"Unknown request URL."`, invalid, `"unknown_url"`,
		},
		{
			"Throttled", awsapigateway.ResponseType_THROTTLED(), "429",
			`"Too many requests."`, "requests", `"rate_limit_exceeded"`,
		},
		{"Refused", awsapigateway.ResponseType_DEFAULT_4XX(), "", gatewayMessage, invalid, "null"},
		{"Failed", awsapigateway.ResponseType_DEFAULT_5XX(), "", gatewayMessage, "server_error", "null"},
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
	return options
}
