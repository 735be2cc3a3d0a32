// Package sfnflow starts and wakes the flows of batches, which are executions
// of a Step Functions state machine. It knows Step Functions' limits and the
// execution's input; it knows no use case, and nothing of what a flow does.
package sfnflow
