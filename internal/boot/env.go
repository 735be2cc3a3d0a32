package boot

// Names of the environment variables that the CDK app sets on a Lambda and that only boot and main.go read. A grant in
// infra sets the variable together with the permission, so that the one is never there without the other.
const (
	// EnvTable names the DynamoDB table.
	EnvTable = "MUSKETRY_TABLE"
	// EnvAdminTable names the DynamoDB table of API keys and models, which no function may write.
	EnvAdminTable = "MUSKETRY_ADMIN_TABLE"
	// EnvBucket names the S3 bucket of files and segments.
	EnvBucket = "MUSKETRY_BUCKET"
	// EnvQueueURL is the URL of the SQS queue of requests.
	EnvQueueURL = "MUSKETRY_QUEUE_URL"
	// EnvDeadLettersURL is the URL of the SQS queue to which requests' messages go that were received too often.
	EnvDeadLettersURL = "MUSKETRY_DEAD_LETTERS_URL"
	// EnvFlowARN is the ARN of the Step Functions state machine of a batch.
	EnvFlowARN = "MUSKETRY_FLOW_ARN"
	// EnvUpstreamBaseURL is the provider's base URL, such as https://api.openai.com/v1.
	EnvUpstreamBaseURL = "MUSKETRY_UPSTREAM_BASE_URL"
	// EnvUpstreamKeyParameter names the SSM SecureString with the provider's key. The parameter itself may be absent:
	// then no Authorization header is sent.
	EnvUpstreamKeyParameter = "MUSKETRY_UPSTREAM_KEY_PARAMETER"
	// EnvUpstreamAllowPrivate is "on" where the default route may lead to private addresses and speak http, else "off".
	EnvUpstreamAllowPrivate = "MUSKETRY_UPSTREAM_ALLOW_PRIVATE"
	// EnvUpstreamCA has certificates of authorities that upstreams' certificates may be signed by besides the system's: a
	// PEM bundle, or the same in base64. It may be absent.
	EnvUpstreamCA = "MUSKETRY_UPSTREAM_CA"
	// EnvKeyPrefix is below what the keys lie that routes name: /NAME/keys/ in SSM, and the same without the first slash in
	// Secrets Manager.
	EnvKeyPrefix = "MUSKETRY_KEY_PREFIX"
	// EnvMessageGroups is "on" where SendMessage names the tenant as its MessageGroupId (fair queues), else "off".
	EnvMessageGroups = "MUSKETRY_MESSAGE_GROUPS"
	// EnvStack is the deployment's name, a dimension of every metric.
	EnvStack = "MUSKETRY_STACK"
	// EnvLogLevel is the least level that is logged: DEBUG, INFO, WARN or ERROR.
	EnvLogLevel = "MUSKETRY_LOG_LEVEL"
)
