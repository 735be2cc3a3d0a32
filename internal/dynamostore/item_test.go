package dynamostore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/storetest"
)

const (
	retention = 30 * 24 * time.Hour
	batchID   = "batch_01j0000000000000000000000z"
	workerID  = "01j0000000000000000000000w"
)

func noon() time.Time { return time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC) }

func usualSpec() state.Spec {
	return state.Spec{
		Key: state.Key{Batch: batchID, Line: 49_999, Shard: 9}, CustomID: "request-000049999",
		Body: state.Span{Offset: 123_456_789, Length: 2_345}, Deadline: noon().Add(24 * time.Hour),
	}
}

func TestEveryFieldOfARequestIsKept(t *testing.T) {
	t.Parallel()
	reasons := []state.Reason{
		storetest.Filled[state.RetryableHTTPStatus](), storetest.Filled[state.NonRetryableHTTPStatus](),
		storetest.Filled[state.Timeout](), storetest.Filled[state.NetworkError](),
		storetest.Filled[state.RequestBuilderError](), storetest.Filled[state.TaskTerminated](),
		storetest.Filled[state.ResponseTooLarge](), storetest.Filled[state.ErrorInBody](), storetest.Filled[state.InvalidAnswer](),
		storetest.Filled[state.RetryTooLate](),
		state.Expired{},
		storetest.Filled[state.Expired](),
	}
	phases := []state.Phase{
		storetest.Filled[state.Pending](), storetest.Filled[state.Claimed](), storetest.Filled[state.Processing](),
		storetest.Filled[state.Completed](), storetest.Filled[state.Canceled](),
		state.Pending{},
	}
	for _, reason := range reasons {
		type failed struct { // Failed without its interface, which cannot be filled
			Attempt                        int
			ClaimID                        string
			Reclaims                       int
			Denial                         state.Denial
			Answer                         state.Span
			Model                          string
			ClaimedAt, StartedAt, FailedAt time.Time
		}
		f := storetest.Filled[failed]()
		phases = append(phases, state.Failed{
			Attempt: f.Attempt, ClaimID: f.ClaimID, Reclaims: f.Reclaims, Reason: reason, Denial: f.Denial,
			Answer: f.Answer, Model: f.Model, ClaimedAt: f.ClaimedAt, StartedAt: f.StartedAt, FailedAt: f.FailedAt,
		})
	}
	for _, phase := range phases {
		for _, spec := range []state.Spec{usualSpec(), storetest.Filled[state.Spec]()} {
			rec := state.Record{Spec: spec, Phase: phase}
			got, err := dynamostore.DecodeRequest(dynamostore.EncodeRequest(rec, retention))
			if err != nil {
				t.Fatal(err)
			}
			if got != rec {
				t.Errorf("(-want +got):\n%s", cmp.Diff(rec, got))
			}
		}
	}
}

// usual returns a request of each phase as most are.
func usual() map[string]state.Phase {
	lease := state.Lease{ClaimID: workerID + ".123", Worker: workerID, Expires: noon().Add(15 * time.Minute)}
	answer := state.Span{Object: "01j0000000000000000000000s", Offset: 1_234_567, Length: 3_456}
	return map[string]state.Phase{
		"pending": state.Pending{},
		"put back": state.Pending{
			Attempt: 3, NotBefore: noon().Add(time.Minute), ClaimID: lease.ClaimID,
			Last: state.RetryableHTTPStatus{Status: 429}.String(),
		},
		"processing": state.Processing{Lease: lease, ClaimedAt: noon(), StartedAt: noon()},
		"completed": state.Completed{
			ClaimID: lease.ClaimID, StatusCode: 200, Answer: answer, Model: "gpt-4o-mini-2024-07-18",
			ClaimedAt: noon(), StartedAt: noon(), CompletedAt: noon().Add(10 * time.Second),
		},
		"failed": state.Failed{
			Attempt: 4, ClaimID: lease.ClaimID, Reason: state.RetryableHTTPStatus{Status: 429},
			Denial: state.DenialMaxRetries, Answer: answer, Model: "gpt-4o-mini",
			ClaimedAt: noon(), StartedAt: noon(), FailedAt: noon().Add(10 * time.Second),
		},
	}
}

// A write costs one unit for each KB that it begins
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html).
func TestAUsualRequestCostsOneUnitAWrite(t *testing.T) {
	t.Parallel()
	for name, phase := range usual() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			size := dynamostore.Size(dynamostore.EncodeRequest(state.Record{Spec: usualSpec(), Phase: phase}, retention))
			if size < 100 || size > 350 {
				t.Errorf("%d bytes, want 100 to 350", size)
			}
			spec := usualSpec()
			spec.CustomID = strings.Repeat("x", batch.MaxCustomID)
			size = dynamostore.Size(dynamostore.EncodeRequest(state.Record{Spec: spec, Phase: phase}, retention))
			if size > 1024 {
				t.Errorf("%d bytes with the longest custom_id, want 1,024 at most", size)
			}
		})
	}
}

func TestSizeCountsAsDynamoDBDoes(t *testing.T) {
	t.Parallel()
	it := map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "é"},     // 2 + 2
		"n":  &types.AttributeValueMemberN{Value: "12345"}, // 1 + 3 + 1
		"ok": &types.AttributeValueMemberBOOL{Value: true}, // 2 + 1
	}
	if got := dynamostore.Size(it); got != 12 {
		t.Errorf("size is %d, want 12", got)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	ttl := func(it map[string]types.AttributeValue) string {
		n, ok := it["ttl"].(*types.AttributeValueMemberN)
		if !ok {
			return "never"
		}
		return n.Value
	}
	at := func(when time.Time) string { return fmt.Sprint(when.Unix() + 1) }
	for name, phase := range usual() {
		t.Run("a request "+name, func(t *testing.T) {
			t.Parallel()
			rec := state.Record{Spec: usualSpec(), Phase: phase}
			// Whatever its own end: the seal counts all requests at the deadline.
			if got, want := ttl(dynamostore.EncodeRequest(rec, retention)), at(rec.Spec.Deadline.Add(retention)); got != want {
				t.Errorf("expires at %s, want %s", got, want)
			}
			if got := ttl(dynamostore.EncodeRequest(rec, 0)); got != "never" {
				t.Errorf("expires at %s without a retention", got)
			}
		})
	}
	end := noon().Add(time.Hour)
	for status, want := range map[batch.Status]string{
		batch.StatusValidating: "never", batch.StatusInProgress: "never", batch.StatusFinalizing: "never",
		batch.StatusCanceling: "never", batch.StatusCompleted: at(end.Add(retention)),
		batch.StatusFailed: at(end.Add(retention)), batch.StatusExpired: at(end.Add(retention)),
		batch.StatusCanceled: at(end.Add(retention)),
	} {
		t.Run("a batch "+string(status), func(t *testing.T) {
			t.Parallel()
			b := batch.Batch{Status: status, CreatedAt: noon(), Deadline: noon().Add(24 * time.Hour)}
			switch status { //nolint:exhaustive // the others have no end
			case batch.StatusCompleted:
				b.CompletedAt = end
			case batch.StatusFailed:
				b.FailedAt = end
			case batch.StatusExpired:
				b.ExpiredAt = end
			case batch.StatusCanceled:
				b.CanceledAt = end
			}
			it, err := dynamostore.EncodeBatch(b, retention)
			if err != nil {
				t.Fatal(err)
			}
			if got := ttl(it); got != want {
				t.Errorf("expires at %s, want %s", got, want)
			}
		})
	}
}

func TestABrokenItemIsAnError(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(map[string]types.AttributeValue){
		"no status":       func(it map[string]types.AttributeValue) { delete(it, "s") },
		"unknown status":  func(it map[string]types.AttributeValue) { it["s"] = &types.AttributeValueMemberS{Value: "x"} },
		"text as number":  func(it map[string]types.AttributeValue) { it["d"] = &types.AttributeValueMemberS{Value: "1"} },
		"number as text":  func(it map[string]types.AttributeValue) { it["u"] = &types.AttributeValueMemberN{Value: "1"} },
		"fraction":        func(it map[string]types.AttributeValue) { it["i"] = &types.AttributeValueMemberN{Value: "1.5"} },
		"unknown reason":  func(it map[string]types.AttributeValue) { it["f"] = &types.AttributeValueMemberS{Value: "x"} },
		"another's key":   func(it map[string]types.AttributeValue) { it["pk"] = &types.AttributeValueMemberS{Value: "counters#x"} },
		"key, no shard":   func(it map[string]types.AttributeValue) { it["pk"] = &types.AttributeValueMemberS{Value: "req#x#"} },
		"key, no line":    func(it map[string]types.AttributeValue) { it["sk"] = &types.AttributeValueMemberS{Value: "worker"} },
		"key, no sort":    func(it map[string]types.AttributeValue) { delete(it, "sk") },
		"nothing at all":  func(it map[string]types.AttributeValue) { clear(it) },
		"line not a text": func(it map[string]types.AttributeValue) { it["sk"] = &types.AttributeValueMemberN{Value: "1"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			it := dynamostore.EncodeRequest(state.Record{Spec: usualSpec(), Phase: usual()["failed"]}, retention)
			breakIt(it)
			if rec, err := dynamostore.DecodeRequest(it); err == nil {
				t.Errorf("read as %+v", rec)
			}
		})
	}
	it, err := dynamostore.EncodeBatch(batch.Batch{}, retention)
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string]types.AttributeValue{
		"no body": nil, "half a body": &types.AttributeValueMemberS{Value: "{"},
		"another type": &types.AttributeValueMemberN{Value: "1"}, "no time": &types.AttributeValueMemberS{Value: `{"CreatedAt":"x"}`},
	} {
		it["body"] = broken
		if b, err := dynamostore.DecodeBatch(it); err == nil {
			t.Errorf("%s: read as %+v", name, b)
		}
	}
}

// TestEveryFieldOfABatchIsKept, and a batch as most are is one write unit.
func TestEveryFieldOfABatchIsKept(t *testing.T) {
	t.Parallel()
	usual := batch.Batch{
		Ref: batch.Ref{Tenant: "acme", ID: batchID}, Rev: 7, Endpoint: "/v1/chat/completions",
		InputFileID: "file-01j0000000000000000000000z", Window: "24h", Policy: retry.Default(),
		Status: batch.StatusInProgress, Load: batch.LoadCursor{Validated: true, Line: 50_000, Offset: 123_456_789},
		Shards: 10, Enqueued: 500, Counts: batch.Counts{Total: 50_000}, Mark: 250, Token: strings.Repeat("t", 300),
		CreatedAt: noon(), Deadline: noon().Add(24 * time.Hour), InProgressAt: noon(),
	}
	for name, b := range map[string]batch.Batch{
		"usual": usual, "nothing": {}, "all": storetest.Filled[batch.Batch](),
		"empty lists": {Metadata: map[string]string{}, Errors: []batch.LineError{}, CanceledLines: []int{}},
	} {
		it, err := dynamostore.EncodeBatch(b, retention)
		if err != nil {
			t.Fatal(err)
		}
		if size := dynamostore.Size(it); name == "usual" && size > 1024 {
			t.Errorf("%d bytes, want 1,024 at most", size)
		}
		got, err := dynamostore.DecodeBatch(it)
		if diff := cmp.Diff(b, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	usual.CreatedAt = usual.CreatedAt.Add(999 * time.Microsecond).In(time.FixedZone("", 3600))
	it, err := dynamostore.EncodeBatch(usual, retention)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := dynamostore.DecodeBatch(it); err != nil || got.CreatedAt != noon() {
		t.Errorf("created at %v, %v, want milliseconds in UTC", got.CreatedAt, err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]dynamostore.Config{
		"no table":           {Now: time.Now},
		"no name of a table": {Now: time.Now, Table: `a"b VALUE`},
		"no clock":           {Table: "musketry"},
		"negative retention": {Table: "musketry", Now: time.Now, Retention: -1},
		"negative parallel":  {Table: "musketry", Now: time.Now, Parallel: -1},
		"negative timeout":   {Table: "musketry", Now: time.Now, Timeout: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := dynamostore.New(nil, cfg); !errors.Is(err, dynamostore.ErrConfig) {
				t.Errorf("error is %v, want ErrConfig", err)
			}
		})
	}
}
