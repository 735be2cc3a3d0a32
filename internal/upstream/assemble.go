package upstream

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/musketry/musketry/internal/jsonscan"
)

const (
	// maxMergeDepth is how deep the parts of a delta are merged; what lies deeper is taken over whole.
	maxMergeDepth = 8

	// maxIndex bounds the `index` of a choice or a tool call, so that a wild one allocates nothing: OpenAI takes an `n`
	// and a number of tools of 128 (https://platform.openai.com/docs/api-reference/chat/create).
	maxIndex = 128

	// choicesKey is the member that a completion's results come in.
	choicesKey = "choices"

	// nodeCost is what a value costs besides its own bytes, so that many tiny ones are bounded as well: a node, its place
	// in a map, and a map or a list of its own.
	nodeCost = 512

	// idleStream and idleRatio bound the chunks that bring little or nothing, in bytes, and in bytes for each of the
	// answer's: some providers send empty deltas while a model thinks.
	idleStream = 32 << 20
	idleRatio  = 1 << 10
)

// errCutShort is what a stream's clean end means if its last event has not come.
func errCutShort() error { return &NetworkError{Reason: "the stream ended before the answer did"} }

// errNotJSON is what an event means that no assembler can read.
func errNotJSON() error {
	return &NetworkError{Reason: "the stream has an event that is not a JSON object"}
}

// pick returns the values of an object's members, or an error if raw is no object.
func pick(raw []byte, names ...string) ([][]byte, error) {
	values, err := jsonscan.Pick(raw, names...)
	if err != nil {
		return nil, errNotJSON()
	}
	return values, nil
}

// errorEvent returns the error body that an event stands for: `{"error": …}` as it is, or an event that is called an
// error, wrapped. failure and kind are its `error` and `type`.
func errorEvent(e event, failure, kind []byte) ([]byte, bool) {
	if some(failure) {
		return envelope(failure), true
	}
	if named, _ := jsonscan.Text(kind, maxName); e.name == "error" || named == "error" {
		return envelope(e.data), true
	}
	return nil, false
}

// envelope returns OpenAI's error envelope around an error object; any other value becomes its message.
func envelope(raw []byte) []byte {
	if bytes.TrimSpace(raw)[0] != '{' {
		raw = append(append([]byte(`{"message":`), raw...), '}')
	}
	return append(append([]byte(`{"error":`), raw...), '}')
}

// A response assembles a stream of the Responses API: the event that ends it brings the whole answer, and those before
// it are its pieces.
type response struct {
	whole []byte
}

// add keeps the final event's response.
func (r *response) add(e event) (bool, error) {
	if string(e.data) == "[DONE]" {
		return true, nil
	}
	m, err := pick(e.data, "error", "type", "response")
	if err != nil {
		return false, err
	}
	kind, ok := jsonscan.Text(m[1], maxName)
	if !ok {
		kind = e.name
	}
	switch kind {
	case "response.completed", "response.incomplete", "response.failed":
		if !object(m[2]) {
			return false, errNotJSON()
		}
		r.whole = m[2]
		return true, nil
	}
	if failure, ok := errorEvent(e, m[0], m[1]); ok {
		r.whole = failure
		return true, nil
	}
	return false, nil
}

func (r *response) size() int64 { return int64(len(r.whole)) }

func (r *response) answer() ([]byte, error) {
	if r.whole == nil {
		return nil, errCutShort()
	}
	return r.whole, nil
}

// A completion assembles chunks of chat completions, or of the older completions, into one completion.
type completion struct {
	top      map[string]*node // Whole values, the last that says something.
	choices  node
	failure  []byte
	done     bool
	bytes    int64
	streamed int64
}

// add merges one chunk.
func (c *completion) add(e event) (bool, error) {
	if string(e.data) == "[DONE]" {
		c.done = true
		return true, nil
	}
	if c.streamed += int64(len(e.data)); c.streamed > idleStream+idleRatio*c.bytes {
		return false, &TooLargeError{Limit: idleStream + idleRatio*c.bytes}
	}
	m, err := pick(e.data, "error", "type", choicesKey, "usage")
	if err != nil {
		return false, err
	}
	if failure, ok := errorEvent(e, m[0], m[1]); ok {
		c.failure = failure
		return true, nil
	}
	if m[2] == nil && m[3] == nil {
		return false, nil // A sign of life, no chunk.
	}
	if c.top == nil {
		c.top = make(map[string]*node)
	}
	err = jsonscan.Members(e.data, func(name, raw []byte) error {
		if is(name, choicesKey) {
			return nil
		}
		return field(c.top, name, &c.bytes).merge("", raw, 0, &c.bytes)
	})
	if err != nil || m[2] == nil {
		return false, err
	}
	return false, c.choices.merge(choicesKey, m[2], maxMergeDepth, &c.bytes)
}

func (c *completion) size() int64 { return c.bytes + int64(len(c.failure)) }

// answer returns the completion: a choice's `delta` becomes its `message`, as if it had never been streamed.
func (c *completion) answer() ([]byte, error) {
	if c.failure != nil {
		return c.failure, nil
	}
	if len(c.choices.items) == 0 || !c.done && !c.finished() {
		return nil, errCutShort()
	}
	if object, ok := c.top["object"]; ok && string(object.raw) == `"chat.completion.chunk"` {
		object.raw = json.RawMessage(`"chat.completion"`)
	}
	for _, choice := range c.choices.items {
		asMessage(choice)
	}
	c.top[choicesKey] = &c.choices
	whole := node{kind: objectNode, fields: c.top}
	return whole.appendTo(make([]byte, 0, c.bytes)), nil
}

// finished reports whether every choice tells why it ended. Some providers leave out the `[DONE]` at the end.
func (c *completion) finished() bool {
	for _, choice := range c.choices.items {
		if choice.empty() {
			continue
		}
		reason, ok := choice.fields["finish_reason"]
		if !ok || reason.null() {
			return false
		}
	}
	return true
}

// asMessage turns a chunk's choice into a completion's.
func asMessage(choice *node) {
	message, ok := choice.fields["delta"]
	if !ok {
		return
	}
	delete(choice.fields, "delta")
	choice.fields["message"] = message
	if message.kind != objectNode {
		return
	}
	if _, ok := message.fields["content"]; !ok {
		message.fields["content"] = &node{raw: json.RawMessage("null")}
	}
	if calls, ok := message.fields["tool_calls"]; ok {
		for _, call := range calls.items {
			delete(call.fields, "index") // It orders the chunks; a message's list has its own order.
		}
	}
}

// A node is a value that grows by deltas: an object by its fields, a list by its items and its tail, a string that comes
// in pieces by its text. Any other value is raw.
type node struct {
	kind   nodeKind
	fields map[string]*node
	items  []*node // Those that carry an index, which later deltas add to.
	tail   []byte  // Those that do not, as JSON with commas between.
	text   []byte
	raw    json.RawMessage // Nil while nothing has come.
}

type nodeKind int

const (
	rawNode nodeKind = iota
	objectNode
	listNode
	textNode
)

// merge adds a delta's value to the node and its size to total. key is the member's name, which tells strings that come
// in pieces from those that come whole. It returns a *NetworkError for a list with an index out of bounds.
func (n *node) merge(key string, raw json.RawMessage, depth int, total *int64) error {
	switch {
	case blank(raw) && !n.empty():
		return nil
	case depth > 0 && raw[0] == '{':
		return n.mergeObject(raw, depth, total)
	case depth > 0 && raw[0] == '[':
		return n.mergeList(key, raw, depth, total)
	case depth > 0 && raw[0] == '"' && inPieces(key) && (n.kind == textNode || n.empty()):
		text := jsonscan.AppendText(n.text, raw)
		*total += int64(len(text) - len(n.text))
		*n = node{kind: textNode, text: text}
		return nil
	case n.kind == rawNode && bytes.Equal(raw, n.raw):
		return nil
	default:
		*total += int64(len(raw) - len(n.raw))
		*n = node{raw: bytes.Clone(raw)} // A part of an event would hold on to all of it.
		return nil
	}
}

func (n *node) mergeObject(raw json.RawMessage, depth int, total *int64) error {
	if n.kind != objectNode {
		*n = node{kind: objectNode, fields: make(map[string]*node)}
	}
	return jsonscan.Members(raw, func(name, value []byte) error {
		return field(n.fields, name, total).merge(keyOf(name), value, depth-1, total)
	})
}

// field returns the node of a member, which is made if there is none.
func field(fields map[string]*node, name []byte, total *int64) *node {
	if n, ok := fields[string(name[1:len(name)-1])]; ok && bytes.IndexByte(name, '\\') < 0 {
		return n // Most names come again and again: no copy is made of them.
	}
	key := keyOf(name)
	n, ok := fields[key]
	if !ok {
		n = &node{}
		fields[key] = n
		*total += nodeCost + int64(len(key))
	}
	return n
}

// keyOf returns what a member's name, as it is written, stands for.
func keyOf(name []byte) string {
	if bytes.IndexByte(name, '\\') < 0 {
		return string(name[1 : len(name)-1])
	}
	return string(jsonscan.AppendText(nil, name))
}

// is reports whether a member's name, as it is written, is key.
func is(name []byte, key string) bool { return keyOf(name) == key }

// mergeList merges items that carry an `index` into the item of that index, and appends all others. Choices that some
// provider sends without one are meant by their place.
func (n *node) mergeList(key string, raw json.RawMessage, depth int, total *int64) error {
	if n.kind != listNode {
		*n = node{kind: listNode}
	}
	next := 0
	return jsonscan.Items(raw, func(value []byte) error {
		place := next
		next++
		index, indexed := indexOf(value)
		if !indexed && key == choicesKey {
			index, indexed = place, true
		}
		if !indexed {
			n.tail = appendItem(n.tail, value)
			*total += 1 + int64(len(value))
			return nil
		}
		if index < 0 || index >= maxIndex {
			return &NetworkError{Reason: "the stream has an index out of bounds"}
		}
		for len(n.items) <= index { // Choices are generated side by side: the second may come before the first.
			n.items = append(n.items, &node{})
			*total += nodeCost
		}
		return n.items[index].merge("", value, depth-1, total)
	})
}

// appendItem adds an item to a list's inside.
func appendItem(list, item []byte) []byte {
	if len(list) > 0 {
		list = append(list, ',')
	}
	return append(list, item...)
}

// indexOf returns an object's integer `index`.
func indexOf(raw json.RawMessage) (int, bool) {
	if raw[0] != '{' {
		return 0, false
	}
	values, err := jsonscan.Pick(raw, "index")
	if err != nil {
		return 0, false
	}
	index, err := strconv.Atoi(string(values[0]))
	return index, err == nil
}

// inPieces reports whether a string's deltas follow one another. The others name something and come whole, by some
// providers again with every chunk.
func inPieces(key string) bool {
	switch key {
	case "id", "role", "type", "object", "name", "model", "finish_reason", "stop_reason", "format", "signature":
		return false
	default:
		return true
	}
}

// empty reports whether nothing, or only a null, has been merged into the node.
func (n *node) empty() bool {
	return n.kind == rawNode && (n.raw == nil || n.null())
}

// null reports whether the node is JSON's null.
func (n *node) null() bool { return string(n.raw) == "null" }

// appendTo writes the value that has grown. Of a list it leaves out the indexes that never came.
func (n *node) appendTo(dst []byte) []byte {
	switch n.kind {
	case objectNode:
		dst = append(dst, '{')
		for i, key := range slices.Sorted(maps.Keys(n.fields)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(jsonscan.AppendQuoted(dst, []byte(key)), ':')
			dst = n.fields[key].appendTo(dst)
		}
		return append(dst, '}')
	case listNode:
		return n.appendList(dst)
	case textNode:
		return jsonscan.AppendQuoted(dst, n.text)
	case rawNode:
		if n.raw != nil {
			return append(dst, n.raw...)
		}
	}
	return append(dst, "null"...)
}

// appendList writes a list.
func (n *node) appendList(dst []byte) []byte {
	dst = append(dst, '[')
	between := len(dst)
	for _, item := range n.items {
		if item.empty() {
			continue
		}
		if len(dst) > between {
			dst = append(dst, ',')
		}
		dst = item.appendTo(dst)
	}
	if len(n.tail) > 0 && len(dst) > between {
		dst = append(dst, ',')
	}
	return append(append(dst, n.tail...), ']')
}

// blank reports whether a value says nothing that could replace another.
func blank(raw json.RawMessage) bool { return string(raw) == "null" || string(raw) == `""` }
