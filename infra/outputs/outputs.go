// Package outputs names what the stack tells after a deployment, for the app that writes it and the programs that read
// it. It knows nothing else, so that reading an output does not take the CDK.
package outputs

// Names of the stack's outputs.
const (
	APIID  = "ApiId"
	APIURL = "ApiUrl"
	// AzureEndpoint is what Azure's clients take as azure_endpoint.
	AzureEndpoint = "AzureEndpoint"
	Table         = "TableName"
	// AdminTable has the API keys and models.
	AdminTable  = "AdminTableName"
	Bucket      = "BucketName"
	QueueURL    = "QueueUrl"
	DeadLetters = "DeadLetterQueueUrl"
	FlowARN     = "FlowArn"
	UpstreamKey = "UpstreamKeyParameter"
	// KeyPrefix is below what the keys lie that models' routes name.
	KeyPrefix = "UpstreamKeyPrefix"
)
