package dynamostore

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A condition is what an item must be for a write of it to take effect. The
// zero condition always holds.
type condition struct {
	expression string
	names      map[string]string
	values     map[string]types.AttributeValue
}

// isAbsent holds where there is no item.
func isAbsent() condition {
	return condition{expression: "attribute_not_exists(#pk)", names: map[string]string{"#pk": attrPK}}
}

// isAt holds where a request is what g says.
func isAt(g state.Guard) condition {
	if g.Status == "" {
		return isAbsent()
	}
	c := condition{
		expression: "#s = :s AND attribute_not_exists(#c)",
		names:      map[string]string{"#s": attrStatus, "#c": attrClaim},
		values:     map[string]types.AttributeValue{":s": &types.AttributeValueMemberS{Value: string(g.Status)}},
	}
	if g.ClaimID != "" {
		c.expression = "#s = :s AND #c = :c"
		c.values[":c"] = &types.AttributeValueMemberS{Value: g.ClaimID}
	}
	return c
}

// isOpen holds where a journal is not closed.
func isOpen() condition {
	return condition{expression: "attribute_not_exists(#z)", names: map[string]string{"#z": attrClosed}}
}

// numbersBelow holds where fewer than n of a journal's numbers were given out.
func numbersBelow(n int) condition {
	return condition{
		expression: "attribute_not_exists(#n) OR #n < :n",
		names:      map[string]string{"#n": attrNumbers},
		values:     map[string]types.AttributeValue{":n": number(int64(n))},
	}
}

// isRev holds where a record is at its revision rev.
func isRev(rev int64) condition {
	return condition{
		expression: "#r = :r",
		names:      map[string]string{"#r": attrRev},
		values:     map[string]types.AttributeValue{":r": number(rev)},
	}
}

// isAbsentOrOver holds where there is nothing, or what expired by now.
func isAbsentOrOver(now time.Time) condition {
	return condition{
		expression: "attribute_not_exists(#pk) OR attribute_not_exists(#x) OR #x <= :now",
		names:      map[string]string{"#pk": attrPK, "#x": attrExpiresAt},
		values:     map[string]types.AttributeValue{":now": number(now.UnixMilli())},
	}
}

// isBefore holds where there is nothing, or what was on an earlier day.
func isBefore(day time.Time) condition {
	return condition{
		expression: "attribute_not_exists(#d) OR #d < :d",
		names:      map[string]string{"#d": attrDay},
		values:     map[string]types.AttributeValue{":d": number(day.UnixMilli())},
	}
}

// countsAtMost holds where there is no counter shard, or one of which no
// component is larger than c's. A component of 0 has no attribute.
func countsAtMost(c batch.Counts) condition {
	return condition{
		expression: "(attribute_not_exists(#c) OR #c <= :c) AND (attribute_not_exists(#f) OR #f <= :f) AND " +
			"(attribute_not_exists(#x) OR #x <= :x) AND (attribute_not_exists(#k) OR #k <= :k)",
		names: map[string]string{"#c": attrCompleted, "#f": attrFailed, "#x": attrExpired, "#k": attrCanceled},
		values: map[string]types.AttributeValue{
			":c": number(int64(c.Completed)), ":f": number(int64(c.Failed)),
			":x": number(int64(c.Expired)), ":k": number(int64(c.Canceled)),
		},
	}
}

func number(n int64) *types.AttributeValueMemberN {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
