package batch_test

import (
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A line comes in, its batch lives, and the line of its answer goes out.
func Example() {
	now := time.Date(2031, 5, 17, 12, 0, 0, 0, time.UTC)
	in, err := batch.ParseInput([]byte(
		`{"custom_id":"fmt","method":"POST","url":"/v1/responses","body":{"model":"m","input":"hi"}}`), "/v1/responses")
	fmt.Println(in.CustomID, in.Model, err)

	b := batch.Batch{
		Ref: batch.Ref{Tenant: "acme", ID: "batch_a"}, Status: batch.StatusValidating, Deadline: now.Add(24 * time.Hour),
	}
	for _, step := range []func() error{
		func() error { return b.Validated(1) },
		func() error { return b.Loaded(1, 93, now) },
		func() error { return b.Seal(batch.Counts{Total: 1, Completed: 1}, now) },
		func() error { return b.End(now) },
	} {
		if err := step(); err != nil {
			fmt.Println(err)
		}
		fmt.Println(b.Status)
	}

	fmt.Printf("%s", batch.AppendAnswer(nil, b.Key(1), in.CustomID, batch.Answer{
		StatusCode: 200, RequestID: "req-1", Body: []byte(`{"output": []}`),
	}, batch.Failing{}))
	fmt.Printf("%s", batch.AppendFailure(nil, b.Key(2), "io", batch.Failing{Reason: state.Timeout{Error: "30s"}}))

	// Output:
	// fmt m <nil>
	// validating
	// in_progress
	// finalizing
	// completed
	// {"id":"batch_req_a_1","custom_id":"fmt","response":{"status_code":200,"request_id":"req-1","body":{"output":[]}},"error":null}
	// {"id":"batch_req_a_2","custom_id":"io","response":null,"error":{"code":"request_timeout","message":"the call timed out: 30s"}}
}
