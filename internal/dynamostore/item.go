package dynamostore

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// maxItem is the largest item, in bytes
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const maxItem = 400 << 10

// ErrTooLarge reports a record that does not fit into an item of 400 KB.
var ErrTooLarge = errors.New("dynamostore: the record does not fit into an item")

// An item is a stored item. What is zero or empty has no attribute, and costs
// nothing.
type item map[string]types.AttributeValue

func (it item) setString(name, v string) {
	if v != "" {
		it[name] = &types.AttributeValueMemberS{Value: v}
	}
}

func (it item) setInt(name string, v int64) {
	if v != 0 {
		it[name] = &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
	}
}

// setTime keeps milliseconds.
func (it item) setTime(name string, t time.Time) {
	if !t.IsZero() {
		it.setInt(name, t.UnixMilli())
	}
}

// setExpiry lets the item go after t.
func (it item) setExpiry(t time.Time) { it.setInt(attrTTL, t.Unix()+1) }

func (it item) setBool(name string, v bool) {
	if v {
		it[name] = &types.AttributeValueMemberBOOL{Value: true}
	}
}

// setJSON keeps what no query looks into.
func (it item) setJSON(name string, v any) error {
	raw, err := jsonv1.Marshal(v)
	if err != nil {
		return fmt.Errorf("dynamostore: encode %s: %w", name, err)
	}
	it.setString(name, string(raw))
	return nil
}

// bodyForm leaves out of a body what is zero, and keeps times in milliseconds.
func bodyForm() json.Options {
	return json.JoinOptions(
		jsonv1.DefaultOptionsV1(),
		json.OmitZeroStructFields(true),
		json.WithMarshalers(json.MarshalFunc(func(t time.Time) ([]byte, error) {
			return strconv.AppendInt(nil, t.UnixMilli(), 10), nil
		})),
		json.WithUnmarshalers(json.UnmarshalFunc(func(text []byte, t *time.Time) error {
			ms, err := strconv.ParseInt(string(text), 10, 64)
			*t = time.UnixMilli(ms).UTC()
			return err
		})),
	)
}

// setBody keeps, in one attribute, all of a record that no condition looks at.
func (it item) setBody(v any) error {
	raw, err := json.Marshal(v, bodyForm())
	if err != nil {
		return fmt.Errorf("dynamostore: encode %s: %w", attrBody, err)
	}
	it.setString(attrBody, string(raw))
	return nil
}

// size returns it's size in bytes as DynamoDB counts it, not below it
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html):
// names and strings in UTF-8, numbers one byte for two digits and one more.
func (it item) size() int {
	total := 0
	for name, v := range it {
		total += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			total += len(v.Value)
		case *types.AttributeValueMemberN:
			total += (len(v.Value)+1)/2 + 1
		default: // a boolean: no other type is ever written
			total++
		}
	}
	return total
}

// fits returns ErrTooLarge if DynamoDB would refuse it.
func (it item) fits() error {
	if n := it.size(); n > maxItem {
		return fmt.Errorf("%w: %d bytes of %d", ErrTooLarge, n, maxItem)
	}
	return nil
}

// A reader takes an item apart and keeps the first thing that was wrong.
type reader struct {
	item item
	err  error
}

func (r *reader) fail(name string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("dynamostore: attribute %s: %w", name, err)
	}
}

var errType = errors.New("not of the type it is written with")

func (r *reader) string(name string) string {
	switch v := r.item[name].(type) {
	case nil:
	case *types.AttributeValueMemberS:
		return v.Value
	default:
		r.fail(name, errType)
	}
	return ""
}

func (r *reader) int64(name string) int64 {
	switch v := r.item[name].(type) {
	case nil:
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err != nil {
			r.fail(name, err)
		}
		return n
	default:
		r.fail(name, errType)
	}
	return 0
}

func (r *reader) int(name string) int { return int(r.int64(name)) }

func (r *reader) time(name string) time.Time {
	if ms := r.int64(name); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

func (r *reader) bool(name string) bool {
	switch v := r.item[name].(type) {
	case nil:
	case *types.AttributeValueMemberBOOL:
		return v.Value
	default:
		r.fail(name, errType)
	}
	return false
}

// json reads into v; without the attribute v stays as it is.
func (r *reader) json(name string, v any) {
	if raw := r.string(name); raw != "" {
		if err := jsonv1.Unmarshal([]byte(raw), v); err != nil {
			r.fail(name, err)
		}
	}
}

// body reads what setBody wrote into v.
func (r *reader) body(v any) {
	if err := json.Unmarshal([]byte(r.string(attrBody)), v, bodyForm()); err != nil {
		r.fail(attrBody, err)
	}
}
