package dynamostore_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/state"
)

// TestGroupedChangesNameOnlyWhatChanges holds the statements of the seal, and of
// a worker's usual writes, against what they must name.
func TestGroupedChangesNameOnlyWhatChanges(t *testing.T) {
	t.Parallel()
	s, err := dynamostore.New(nil, dynamostore.Config{Table: "table", Now: noon, Retention: retention})
	if err != nil {
		t.Fatal(err)
	}
	pending := state.New(usualSpec()).Stored()
	lease := state.Lease{ClaimID: "a", Worker: "w", Expires: noon().Add(time.Hour)}
	claimed := must(state.Claim(pending, lease, noon())).Stored()
	processing := must(state.Start(claimed, noon())).Stored()
	retried := must(state.Retry(state.Fail(processing, state.Failure{Reason: state.Timeout{}}, noon()), noon().Add(time.Minute))).Stored()
	second := must(state.Start(must(state.Claim(retried, state.Lease{ClaimID: "b", Worker: "w", Expires: lease.Expires}, noon().Add(time.Hour))), noon().Add(time.Hour)))
	const where = ` WHERE "pk"=? AND "sk"=? AND "s"=? AND "c"`
	cases := map[string]struct {
		change state.Change
		want   string
	}{
		"expire a pending one": {
			must(state.Expire(pending, noon()).Change()), `SET "s"=? SET "t3"=? SET "f"=?` + where + ` IS MISSING`,
		},
		"expire one in flight": {
			must(state.Expire(processing, noon()).Change()),
			`SET "s"=? REMOVE "w" REMOVE "x" SET "t3"=? SET "f"=? SET "fa"=?` + where + `=?`,
		},
		"expire a retry": {
			must(state.Expire(retried, noon()).Change()),
			`SET "s"=? REMOVE "b" REMOVE "e" SET "t3"=? SET "f"=? SET "ft"=? SET "fa"=?` + where + `=?`,
		},
		"cancel a pending one": {
			must(state.Cancel(pending, noon()).Change()), `SET "s"=? SET "t3"=?` + where + ` IS MISSING`,
		},
		"claim and start": {
			must(must(state.Start(must(state.Claim(pending, lease, noon())), noon())).Change()),
			`SET "s"=? SET "c"=? SET "w"=? SET "x"=? SET "t1"=? SET "t2"=?` + where + ` IS MISSING`,
		},
		"claim and start a retry": {
			must(second.Change()),
			`SET "s"=? SET "c"=? SET "w"=? SET "x"=? REMOVE "b" SET "t1"=? SET "t2"=?` + where + `=?`,
		},
		"complete": {
			must(state.Complete(processing, state.Result{StatusCode: 200, Model: "m", Answer: state.Span{Object: "o", Length: 9}}, noon()).Change()),
			`SET "s"=? REMOVE "w" REMOVE "x" SET "t3"=? SET "h"=? SET "m"=? SET "oo"=? SET "ol"=?` + where + `=?`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := dynamostore.Updates(s, tc.change)
			if diff := cmp.Diff(`UPDATE "table" `+tc.want, *got.Statement); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			marks := 0
			for _, c := range *got.Statement {
				if c == '?' {
					marks++
				}
			}
			if marks != len(got.Parameters) {
				t.Errorf("%d parameters for %d marks", len(got.Parameters), marks)
			}
			if got.ReturnValuesOnConditionCheckFailure != types.ReturnValuesOnConditionCheckFailureAllOld {
				t.Error("a conflict does not name its winner")
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
