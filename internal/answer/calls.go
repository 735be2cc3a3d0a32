package answer

import (
	"bytes"
	"strconv"

	"github.com/musketry/musketry/internal/jsonscan"
)

// maxIndex bounds the `index` of a choice or a tool call, so that a wild one allocates nothing: OpenAI takes an `n`
// and a number of tools of 128 (https://platform.openai.com/docs/api-reference/chat/create).
const maxIndex = 128

// wholeArguments is how long the arguments of a call may be in bytes for it to be looked whether they are whole.
const wholeArguments = 64 << 10

// An item is one of a list, to which later deltas add.
type item struct {
	index int
	id    string
	kind  string // its `type`
	turn  int    // when it was last added to
	node  *node
}

// A mark is what a delta's item says of itself.
type mark struct {
	index    int
	indexed  bool
	id, kind string
	name     string // of a call's function or tool
}

// markOf reads the mark of a delta's item.
func markOf(raw []byte) mark {
	if !object(raw) {
		return mark{}
	}
	values, err := jsonscan.Pick(raw, "index", "id", "type", "function", "custom")
	if err != nil {
		return mark{}
	}
	m := mark{id: name(values[1]), kind: name(values[2])}
	index, err := strconv.Atoi(string(values[0]))
	m.index, m.indexed = index, err == nil
	for _, called := range values[3:] {
		if object(called) && m.name == "" {
			m.name = name(member(called, "name"))
		}
	}
	return m
}

// is reports whether an item may be the one that a mark means. Two ids are two items, whatever their index, and so are two
// types.
func (i *item) is(m mark) bool {
	return i.index == m.index && (m.id == "" || i.id == "" || m.id == i.id) && (m.kind == "" || i.kind == "" || m.kind == i.kind)
}

// find returns which of n's items a mark means, the one that was added to last, or nil if it is a new one.
func (n *node) find(m mark) *item {
	var found *item
	for _, i := range n.items {
		if i.is(m) && (found == nil || i.turn > found.turn) {
			found = i
		}
	}
	return found
}

// place returns which of the calls an item without an index belongs to: that of its id, else a new one if it has an id or a
// name, else the only one that there is.
func (n *node) place(m mark) (mark, error) {
	m.indexed = true
	for _, i := range n.items {
		if m.id != "" && i.id == m.id {
			m.index = i.index
			return m, nil
		}
	}
	switch {
	case m.id != "" || m.name != "":
		if m.index = len(n.items); m.index > 0 {
			m.index = max(m.index, n.items[len(n.items)-1].index+1)
		}
		return m, nil
	case len(n.items) == 1:
		m.index = n.items[0].index
		return m, nil
	}
	return m, errUnclear("its stream has pieces of tool calls that do not say of which")
}

// goesOn returns an error if a delta cannot go on with a call: it has another name, or arguments although they are whole.
func (n *node) goesOn(m mark, raw []byte) error {
	for _, key := range []string{"function", "custom"} {
		called, ok := n.fields[key]
		if !ok || called.kind != objectNode {
			continue
		}
		if had, ok := called.fields["name"]; ok && m.name != "" && name(had.raw) != "" && name(had.raw) != m.name {
			return errUnclear("its stream has two tool calls that cannot be told apart")
		}
		args, ok := called.fields["arguments"]
		if !ok || !args.whole() {
			continue
		}
		if more := member(member(raw, key), "arguments"); text(more) && len(bytes.TrimSpace(jsonscan.AppendText(nil, more))) > 0 {
			return errUnclear("its stream has more arguments of a tool call than one object")
		}
	}
	return nil
}

// whole reports whether a text that came in pieces is a JSON object.
func (n *node) whole() bool {
	if n.kind != textNode || len(n.text) > wholeArguments || !bytes.HasSuffix(bytes.TrimSpace(n.text), []byte("}")) {
		return false
	}
	return jsonscan.Valid(jsonscan.AppendText(nil, append(append([]byte{'"'}, n.text...), '"')))
}

// nameless returns an error if a call of a choice has arguments and calls nothing: some servers give each piece of a call
// another id.
func nameless(choice *node) error {
	message, ok := choice.fields["message"]
	if !ok || message.fields[callsKey] == nil {
		return nil
	}
	for _, call := range message.fields[callsKey].items {
		function, ok := call.node.fields["function"]
		if !ok || function.kind != objectNode {
			continue
		}
		if called, ok := function.fields["name"]; !ok || called.empty() {
			return errUnclear("its stream has pieces of tool calls that do not say of which")
		}
	}
	return nil
}
