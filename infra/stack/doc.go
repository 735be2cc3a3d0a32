// Package stack describes the whole deployment as CDK constructs: one table and one of keys and models, one bucket, one queue with its dead-letter
// queue, three Lambdas, the flow of a batch and the API in front.
//
//	client ─▶ API Gateway ─▶ submit ─▶ flow ─▶ submit (load), finalize ─▶ SQS ─▶ execute ─▶ upstream
//	                           └───────── DynamoDB, S3: all three ─────────┘
//
// It knows AWS resources, the permissions between them and the names of the environment variables (internal/boot). It
// must not know the domain: no code of a Lambda is imported here, only its built folder is named. A permission is given
// by a Grant method, which also sets the variable that the code needs to use it.
package stack
