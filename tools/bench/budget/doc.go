// Package budget runs batches of tens of thousands of requests in virtual time and counts all that AWS would bill: our
// use cases and adapters as they are, over services in memory that answer as AWS does, take AWS's time, and scale as its
// event sources scale. Nothing fails here: that is internal/sim's.
//
//	table_test.go       DynamoDB, what its calls consume by the sizes of items
//	condition_test.go   its conditions
//	partiql_test.go     its statements
//	queue_test.go       SQS, and the event source that polls it
//	bucket_test.go      S3
//	flow_test.go        Step Functions, by the flow's own definition
//	functions_test.go   Lambda: the three functions, their environments and billed time
//	world_test.go       all of it, and the upstream
//	budget_test.go      what is measured
//
// Our own CPU takes no time here.
package budget
