package state_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/state"
)

// A worker reads a request, claims and calls it, and puts it back because the
// upstream was busy. Each Change is one guarded write to a store.
func Example() {
	now := time.Date(2031, 5, 17, 12, 0, 0, 0, time.UTC)
	stored := state.New(state.Spec{
		Key:      state.Key{Batch: "batch_a", Line: 1},
		Deadline: now.Add(time.Hour),
	}).Stored().Record()

	pending, err := state.As[state.Pending](stored)
	if err != nil {
		fmt.Println(err)
		return
	}
	claimed, err := state.Claim(pending, state.Lease{ClaimID: "claim-1", Worker: "worker-1"}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	processing, err := state.Start(claimed, now) // one write with Claim, as nothing lies between them
	if err != nil {
		fmt.Println(err)
		return
	}
	change, err := processing.Change()
	fmt.Println(change.Guard().Status, "to", change.To().Status(), err)

	// The store has applied it, and the call has left and come back with a 429.
	failed := state.Fail(processing.Stored(), state.Failure{Reason: state.RetryableHTTPStatus{Status: 429}}, now)
	_, err = failed.Change()
	fmt.Println(err)

	again, err := state.Retry(failed, now.Add(2*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	change, err = again.Change()
	fmt.Println(change.Guard().Status, "to", change.To().Status(), err)
	fmt.Println(again.Phase().Attempt, "call failed:", again.Phase().Last)

	// Output:
	// pending to processing <nil>
	// state: a retryable failure was neither retried nor denied
	// processing to pending <nil>
	// 1 call failed: the upstream answered with status 429
}

// A worker claims a request, calls it, and records its answer. The heartbeat
// that its lease needs is stored apart from the request.
func ExampleComplete() {
	now := time.Date(2031, 5, 17, 12, 0, 0, 0, time.UTC)
	pending := state.New(state.Spec{Key: state.Key{Batch: "batch_a", Line: 1}, Deadline: now.Add(time.Hour)}).Stored()
	claimed, err := state.Claim(pending, state.Lease{ClaimID: "claim-1", Worker: "worker-1"}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	processing, err := state.Start(claimed, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	called := processing.Stored() // what a store has applied the change of, and gives back when it is read
	completed := state.Complete(called, state.Result{StatusCode: 200, Model: "m"}, now.Add(3*time.Second))
	change, err := completed.Change()
	fmt.Println(change.Guard().Status, change.Guard().ClaimID, "to", change.To().Status(), err)
	fmt.Println(state.EndedAt(completed.Phase()).Sub(now))

	// Too early, and too late: testdata/illegal holds that neither compiles.
	//
	//	state.Complete(claimed, state.Result{}, now)
	//	state.Fail(completed, state.Failure{}, now)

	// Output:
	// processing claim-1 to completed <nil>
	// 3s
}

// A reader must know in which state a request is before it can move it.
func ExampleAs() {
	stored := state.New(state.Spec{Key: state.Key{Batch: "batch_a", Line: 1}}).Record()
	_, err := state.As[state.Claimed](stored)
	var wrong *state.StatusError
	fmt.Println(errors.As(err, &wrong), err)
	// Output: true state: request is "pending", want "claimed"
}
