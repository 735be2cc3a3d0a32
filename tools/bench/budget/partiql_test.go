package budget_test

import (
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A statement is one of PartiQL, as far as our adapters use it
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.statements.html). What it does not
// know is an error.
type statement struct {
	words  []string
	values []types.AttributeValue
}

var words = regexp.MustCompile(`"[^"]*"|'[^']*'|\w+|[^\s\w]`)

func (s *statement) next() string {
	if len(s.words) == 0 {
		return ""
	}
	w := s.words[0]
	s.words = s.words[1:]
	return w
}

func (s *statement) take(want ...string) bool {
	if len(s.words) < len(want) {
		return false
	}
	for i, w := range want {
		if !strings.EqualFold(s.words[i], w) {
			return false
		}
	}
	s.words = s.words[len(want):]
	return true
}

// value returns the value of the next mark.
func (s *statement) value() (types.AttributeValue, error) {
	if !s.take("?") || len(s.values) == 0 {
		return nil, fmt.Errorf("no mark before %q", s.words)
	}
	v := s.values[0]
	s.values = s.values[1:]
	return v, nil
}

func name(word string) string { return strings.Trim(word, `"'`) }

// A change is what a statement makes of an item.
type change struct {
	key    item // pk and sk
	insert item // nil of an update
	set    item
	remove []string
	where  []clause
}

// A clause is what an attribute must be; nil: it must be missing.
type clause struct {
	name  string
	value types.AttributeValue
}

func parse(text string, values []types.AttributeValue) (change, error) {
	s := &statement{words: words.FindAllString(text, -1), values: values}
	switch {
	case s.take("INSERT", "INTO"):
		s.next()
		return s.inserts()
	case s.take("UPDATE"):
		s.next()
		return s.updates()
	}
	return change{}, fmt.Errorf("unknown statement %q", text)
}

func (s *statement) inserts() (change, error) {
	c := change{insert: item{}}
	if !s.take("VALUE", "{") {
		return c, fmt.Errorf("unknown form at %q", s.words)
	}
	for !s.take("}") {
		s.take(",")
		attribute := name(s.next())
		if !s.take(":") {
			return c, fmt.Errorf("unknown form at %q", s.words)
		}
		v, err := s.value()
		if err != nil {
			return c, err
		}
		c.insert[attribute] = v
	}
	c.key = item{"pk": c.insert["pk"], "sk": c.insert["sk"]}
	return c, nil
}

func (s *statement) updates() (change, error) {
	c := change{set: item{}, key: item{}}
	for !s.take("WHERE") {
		switch {
		case s.take("SET"):
			attribute := name(s.next())
			if !s.take("=") {
				return c, fmt.Errorf("unknown form at %q", s.words)
			}
			v, err := s.value()
			if err != nil {
				return c, err
			}
			c.set[attribute] = v
		case s.take("REMOVE"):
			c.remove = append(c.remove, name(s.next()))
		default:
			return c, fmt.Errorf("unknown form at %q", s.words)
		}
	}
	for len(s.words) > 0 {
		s.take("AND")
		attribute := name(s.next())
		switch {
		case s.take("IS", "MISSING"):
			c.where = append(c.where, clause{name: attribute})
		case s.take("="):
			v, err := s.value()
			if err != nil {
				return c, err
			}
			if attribute == "pk" || attribute == "sk" {
				c.key[attribute] = v
			} else {
				c.where = append(c.where, clause{attribute, v})
			}
		default:
			return c, fmt.Errorf("unknown form at %q", s.words)
		}
	}
	return c, nil
}

// apply returns what c makes of old, and false if old is not what it must be.
func (c change) apply(old item) (item, bool) {
	if c.insert != nil {
		return c.insert, old == nil
	}
	if old == nil {
		return nil, false
	}
	for _, w := range c.where {
		if got := old[w.name]; w.value == nil && got != nil || w.value != nil && (got == nil || order(got, w.value) != 0) {
			return nil, false
		}
	}
	after := maps.Clone(old)
	maps.Copy(after, c.set)
	for _, attribute := range c.remove {
		delete(after, attribute)
	}
	return after, true
}
