package batch

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Running is the entry of a batch that may be unfinished. It is there before
// the batch's flow starts, and the flow's last step takes it out. All lie side
// by side, so that whoever looks for batches without a flow, or shares out
// something among all, needs to know no tenant.
type Running struct {
	Ref
	Deadline time.Time
	Flow     int // the number of the flow that was started last, or is about to be; from 1
}

// RunningOf returns the entry of a batch whose first flow is about to start.
func RunningOf(b Batch) Running { return Running{Ref: b.Ref, Deadline: b.Deadline, Flow: 1} }

// FlowName returns the name of a batch's n-th flow, counted from 1: the batch's
// id, then the id with -2, and so on. Step Functions takes a name once in 90
// days, of at most 80 characters
// (https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html).
func FlowName(batchID string, n int) string {
	if n <= 1 {
		return batchID
	}
	return batchID + "-" + strconv.Itoa(n)
}

// ParseFlowName reads what FlowName wrote. It returns an error if name names no
// batch's flow.
func ParseFlowName(name string) (batchID string, n int, err error) {
	batchID, number, again := strings.Cut(name, "-")
	n = 1
	if again {
		n, err = strconv.Atoi(number)
	}
	if _, ok := ParseID(PrefixBatch, batchID); err != nil || !ok || FlowName(batchID, n) != name {
		return "", 0, fmt.Errorf("batch: %.90q names no batch's flow", name)
	}
	return batchID, n, nil
}

// A FlowState is how one flow of a batch stands.
type FlowState string

// The states of flows.
const (
	FlowAbsent  FlowState = "absent"  // it was never started, or 90 days have passed since its end
	FlowRunning FlowState = "running" // it will take the batch on, as far as anybody knows
	FlowEnded   FlowState = "ended"   // however it did
)
