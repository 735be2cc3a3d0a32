// Package sqsqueue is the queue of requests on SQS. It knows SQS's limits, its
// entries that fail one by one, and the message of a request; it knows no use
// case, and nothing of what a message leads to.
package sqsqueue
