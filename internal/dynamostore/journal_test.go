package dynamostore_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/storetest"
)

func TestEveryFieldOfAnEntryIsKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		e := batch.Entry{
			N: rapid.IntRange(1, 999_999_999).Draw(rt, "n"), Segment: rapid.String().Draw(rt, "segment"),
			Closed: rapid.Bool().Draw(rt, "closed"),
			Spans: rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) batch.LineSpan {
				return batch.LineSpan{
					Line: rapid.Int().Draw(rt, "line"), Offset: rapid.Int64().Draw(rt, "offset"),
					Length: rapid.Int64().Draw(rt, "length"),
				}
			}), 1, 70).Draw(rt, "spans"),
		}
		for _, want := range []batch.Entry{e, storetest.Filled[batch.Entry]()} {
			got, err := dynamostore.DecodeEntry(dynamostore.EncodeEntry(batchID, want))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				rt.Fatalf("%v (-want +got):\n%s", err, diff)
			}
		}
	})
}

// A write costs one unit for each KB that it begins.
func TestAUsualEntryCostsOneUnit(t *testing.T) {
	t.Parallel()
	e := batch.Entry{N: 123_456, Segment: "01j0000000000000000000000s"}
	for i := range 64 { // as many as a segment has at most, in any order
		e.Spans = append(e.Spans, batch.LineSpan{Line: (i * 7_919) % 50_000, Offset: int64(i) * 65_000, Length: 65_000})
	}
	if size := dynamostore.Size(dynamostore.EncodeEntry(batchID, e)); size > 1024 {
		t.Errorf("%d bytes, want 1,024 at most", size)
	}
}

func TestABrokenEntryIsAnError(t *testing.T) {
	t.Parallel()
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	for name, breakIt := range map[string]func(map[string]types.AttributeValue){
		"no number":         func(it map[string]types.AttributeValue) { it["sk"] = text("last") },
		"no base64":         func(it map[string]types.AttributeValue) { it["l"] = text("?") },
		"half a span":       func(it map[string]types.AttributeValue) { it["l"] = text("AgI") },
		"an endless number": func(it map[string]types.AttributeValue) { it["l"] = text(strings.Repeat("/", 40)) },
		"segment no text":   func(it map[string]types.AttributeValue) { it["g"] = &types.AttributeValueMemberBOOL{} },
		"nothing at all":    func(it map[string]types.AttributeValue) { clear(it) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			it := dynamostore.EncodeEntry(batchID, storetest.Filled[batch.Entry]())
			breakIt(it)
			if e, err := dynamostore.DecodeEntry(it); err == nil {
				t.Errorf("read as %+v", e)
			}
		})
	}
}
