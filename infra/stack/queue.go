package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/internal/boot"
)

const (
	// visibilityMinutes exceeds execute's timeout, below which AWS refuses the event source, by the time that an
	// event may wait between its receive and its invocation.
	// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
	visibilityMinutes = functionTimeoutMinutes + 1
	// retentionDays is the longest SQS keeps a message, and twice the longest batch.
	retentionDays = 14
	// maxReceives is the most SQS allows: every backoff of a request is a receive of its message.
	maxReceives = 1000
	// eventMessages is the most messages an event holds without a batching window, and each may wait for its model.
	eventMessages = 10
)

// QueueProps are empty so far: all the queue's numbers follow from AWS's limits and execute's timeout.
type QueueProps struct{}

// Queue carries one message a request to execute; DeadLetters keeps those that were received too often.
type Queue struct {
	awssqs.Queue
	DeadLetters awssqs.Queue
}

// NewQueue adds the queue and its dead-letter queue, both encrypted and TLS only.
func NewQueue(scope constructs.Construct, id string, _ *QueueProps) *Queue {
	dead := awssqs.NewQueue(scope, jsii.String(id+"DeadLetters"), &awssqs.QueueProps{
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(retentionDays)),
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
	})
	return &Queue{DeadLetters: dead, Queue: awssqs.NewQueue(scope, &id, &awssqs.QueueProps{
		VisibilityTimeout: awscdk.Duration_Minutes(jsii.Number(visibilityMinutes)),
		RetentionPeriod:   awscdk.Duration_Days(jsii.Number(retentionDays)),
		Encryption:        awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		DeadLetterQueue:   &awssqs.DeadLetterQueue{Queue: dead, MaxReceiveCount: jsii.Number(maxReceives)},
	})}
}

// GrantSend lets a function enqueue.
func (q *Queue) GrantSend(fn *Function) {
	fn.Allow(q.QueueArn(), "sqs:SendMessage")
	fn.Setenv(boot.EnvQueueURL, q.QueueUrl())
}

// GrantReturn lets a function take dead letters, to send them to the queue again.
func (q *Queue) GrantReturn(fn *Function) {
	fn.Allow(q.DeadLetters.QueueArn(), "sqs:ReceiveMessage", "sqs:DeleteMessage")
	fn.Setenv(boot.EnvDeadLettersURL, q.DeadLetters.QueueUrl())
}

// GrantConsume makes the queue the function's event source, for so many invocations at once, with partial batch responses:
// a message goes only when the function says that it is done with it. An invocation receives more messages itself.
func (q *Queue) GrantConsume(fn *Function, invocations float64) {
	fn.Allow(q.QueueArn(), "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility",
		"sqs:GetQueueAttributes")
	fn.Setenv(boot.EnvQueueURL, q.QueueUrl())
	source := awslambda.NewEventSourceMapping(q.Queue, jsii.String("Source"), &awslambda.EventSourceMappingProps{
		Target:                  fn.Function,
		EventSourceArn:          q.QueueArn(),
		BatchSize:               jsii.Number(eventMessages),
		MaxConcurrency:          &invocations,
		ReportBatchItemFailures: jsii.Bool(true),
	})
	// Lambda checks the role's permissions when the event source is made, so these must be there first.
	source.Node().AddDependency(fn.Role())
}
