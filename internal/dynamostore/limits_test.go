package dynamostore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/storetest"
)

// TestEveryFieldOfALimitIsKept, and one as most are is one write unit.
func TestEveryFieldOfALimitIsKept(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]limit.Record{
		"usual": usualLimit(), "nothing": {}, "all": storetest.Filled[limit.Record](),
	} {
		it, err := dynamostore.EncodeLimit(r)
		if err != nil {
			t.Fatal(err)
		}
		if size := dynamostore.Size(it); name == "usual" && size > 1024 {
			t.Errorf("%d bytes, want 1,024 at most", size)
		}
		got, err := dynamostore.DecodeLimit(it)
		if diff := cmp.Diff(r, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	it, err := dynamostore.EncodeLimit(usualLimit())
	if err != nil {
		t.Fatal(err)
	}
	it["body"] = &types.AttributeValueMemberS{Value: "{"}
	if _, err := dynamostore.DecodeLimit(it); err == nil {
		t.Error("a broken body is no error")
	}
}

// usualLimit returns what is known of a route after five minutes of ten workers,
// with all of its limits set.
func usualLimit() limit.Record {
	r := limit.Record{Route: "gpt-4o-mini*#eu-central", Rev: 1000}
	l := limit.Limits{Concurrency: 1000, RPM: 6_000, TPM: 2_000_000}
	for second := range 300 {
		now := limit.At(noon().Add(time.Duration(second) * time.Second))
		for w := range 10 {
			times, _ := r.Take(now, l, []int64{300, 400, 500, 300, 200, 100, 400, 200, 300, 500})
			var told limit.Report
			for _, at := range times {
				told.Calls = told.Calls.Add(at, 1)
				told.Add(limit.Result{At: at, Tokens: 250}, 300)
			}
			r.Report(now, l, told)
			r.Hold(now, fmt.Sprintf("kq3v6zr90w2m1x%02d", w), 80+w, l.Concurrency)
		}
	}
	r.Gap = limit.Gap{From: r.CallAt - 2_000_000, To: r.CallAt - 100_000}
	return r.Kept()
}
