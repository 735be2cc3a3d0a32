package budget_test

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

type item = map[string]types.AttributeValue

// A condition is an expression of DynamoDB, as far as our adapters use them
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html). What it
// does not know is an error.
type condition struct {
	tokens []string
	names  map[string]string
	values item
	it     item
}

// holds reports whether expression holds of it.
func holds(expression string, names map[string]string, values, it item) (bool, error) {
	if expression == "" {
		return true, nil
	}
	for _, mark := range []string{"(", ")", ","} {
		expression = strings.ReplaceAll(expression, mark, " "+mark+" ")
	}
	c := &condition{tokens: strings.Fields(expression), names: names, values: values, it: it}
	v, err := c.or()
	if err == nil && len(c.tokens) > 0 {
		err = fmt.Errorf("cannot read %q from %q on", expression, c.tokens)
	}
	return v, err
}

func (c *condition) next() string {
	if len(c.tokens) == 0 {
		return ""
	}
	t := c.tokens[0]
	c.tokens = c.tokens[1:]
	return t
}

func (c *condition) take(word string) bool {
	if len(c.tokens) > 0 && strings.EqualFold(c.tokens[0], word) {
		c.tokens = c.tokens[1:]
		return true
	}
	return false
}

func (c *condition) or() (bool, error) {
	v, err := c.and()
	for err == nil && c.take("OR") {
		var w bool
		w, err = c.and()
		v = v || w
	}
	return v, err
}

func (c *condition) and() (bool, error) {
	v, err := c.one()
	for err == nil && c.take("AND") {
		var w bool
		w, err = c.one()
		v = v && w
	}
	return v, err
}

func (c *condition) one() (bool, error) {
	switch {
	case c.take("NOT"):
		v, err := c.one()
		return !v, err
	case c.take("("):
		v, err := c.or()
		if err == nil && !c.take(")") {
			err = fmt.Errorf("a parenthesis is open before %q", c.tokens)
		}
		return v, err
	}
	switch word := c.next(); word {
	case "attribute_exists", "attribute_not_exists":
		if !c.take("(") {
			return false, fmt.Errorf("%s without a parenthesis", word)
		}
		v, err := c.operand(c.next())
		if err == nil && !c.take(")") {
			err = fmt.Errorf("%s of more than one", word)
		}
		return (v != nil) == (word == "attribute_exists"), err
	default:
		return c.compare(word)
	}
}

func (c *condition) compare(word string) (bool, error) {
	left, err := c.operand(word)
	if err != nil {
		return false, err
	}
	operator := c.next()
	right, err := c.operand(c.next())
	if err != nil {
		return false, err
	}
	if strings.EqualFold(operator, "BETWEEN") {
		if !c.take("AND") {
			return false, fmt.Errorf("BETWEEN without AND before %q", c.tokens)
		}
		high, err := c.operand(c.next())
		return left != nil && order(left, right) >= 0 && order(left, high) <= 0, err
	}
	if left == nil || right == nil {
		return operator == "<>", nil
	}
	n := order(left, right)
	switch operator {
	case "=":
		return n == 0, nil
	case "<>":
		return n != 0, nil
	case "<":
		return n < 0, nil
	case "<=":
		return n <= 0, nil
	case ">":
		return n > 0, nil
	case ">=":
		return n >= 0, nil
	}
	return false, fmt.Errorf("unknown operator %q", operator)
}

// operand returns what word stands for, nil for an attribute that is not there.
func (c *condition) operand(word string) (types.AttributeValue, error) {
	switch {
	case strings.HasPrefix(word, ":"):
		v, ok := c.values[word]
		if !ok {
			return nil, fmt.Errorf("no value %s", word)
		}
		return v, nil
	case strings.HasPrefix(word, "#"):
		name, ok := c.names[word]
		if !ok {
			return nil, fmt.Errorf("no name %s", word)
		}
		return c.it[name], nil
	}
	return nil, fmt.Errorf("unknown operand %q", word)
}

// order compares two values; those of different types are never equal.
func order(a, b types.AttributeValue) int {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		if b, ok := b.(*types.AttributeValueMemberS); ok {
			return strings.Compare(a.Value, b.Value)
		}
	case *types.AttributeValueMemberN:
		if b, ok := b.(*types.AttributeValueMemberN); ok {
			return cmp.Compare(number(a.Value), number(b.Value))
		}
	case *types.AttributeValueMemberBOOL:
		if b, ok := b.(*types.AttributeValueMemberBOOL); ok && a.Value == b.Value {
			return 0
		}
	}
	return -1
}

// updated returns what an update expression sets, as far as our adapters use them
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html).
func updated(expression string, names map[string]string, values, it item) (item, error) {
	c := &condition{
		tokens: strings.Fields(strings.ReplaceAll(expression, ",", " , ")), names: names, values: values, it: it,
	}
	set := item{}
	for len(c.tokens) > 0 {
		adds := c.take("ADD")
		if !adds && !c.take("SET") {
			return nil, fmt.Errorf("cannot read %q from %q on", expression, c.tokens)
		}
		for more := true; more; more = c.take(",") {
			name := names[c.next()]
			if !adds && !c.take("=") {
				return nil, fmt.Errorf("SET without = before %q", c.tokens)
			}
			v, err := c.operand(c.next())
			if err != nil {
				return nil, err
			}
			if old, ok := it[name].(*types.AttributeValueMemberN); ok && adds {
				more, _ := v.(*types.AttributeValueMemberN)
				v = &types.AttributeValueMemberN{Value: strconv.FormatInt(number(old.Value)+number(more.Value), 10)}
			}
			set[name] = v
		}
	}
	return set, nil
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err) // our adapters write integers alone
	}
	return n
}
