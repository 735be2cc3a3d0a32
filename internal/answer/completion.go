package answer

import (
	"encoding/json"

	"github.com/musketry/musketry/internal/jsonscan"
)

const (
	// idleStream and idleRatio bound the chunks that bring little or nothing, in bytes, and in bytes for each of the
	// answer's: some providers send empty deltas while a model thinks.
	idleStream = 32 << 20
	idleRatio  = 1 << 10
)

// A completion assembles chunks of chat completions, or of the older completions, into one completion.
type completion struct {
	chat     bool
	top      map[string]*node // Whole values, the last that says something.
	choices  node
	failed   []byte
	done     bool
	growth   growth
	streamed int64
}

// add merges one chunk.
func (c *completion) add(e event) (bool, error) {
	if e.ends() {
		c.done = true
		return true, nil
	}
	if c.streamed += int64(len(e.data)); c.streamed > idleStream+idleRatio*c.growth.bytes {
		return false, &TooLargeError{Limit: idleStream + idleRatio*c.growth.bytes}
	}
	if body, ok := errorEvent(e); ok {
		c.failed = body
		return true, nil
	}
	m, err := pick(e.data, choicesKey, "usage")
	if err != nil {
		return false, err
	}
	if m[0] == nil && m[1] == nil {
		return false, nil // A sign of life, no chunk.
	}
	c.growth.event++
	if c.top == nil {
		c.top = make(map[string]*node)
	}
	err = jsonscan.Members(e.data, func(key, raw []byte) error {
		if keyOf(key) == choicesKey {
			return nil
		}
		top := field(c.top, key, &c.growth)
		if top.event == c.growth.event {
			return errUnclear("its stream has an event with two members of one name")
		}
		top.event = c.growth.event
		return top.merge(inTop, "", raw, 0, &c.growth)
	})
	if err != nil || m[0] == nil {
		return false, err
	}
	return false, c.choices.merge(inTop, choicesKey, m[0], maxMergeDepth, &c.growth)
}

func (c *completion) size() int64 { return c.growth.bytes + int64(len(c.failed)) }

func (c *completion) usage() []byte {
	if u, ok := c.top["usage"]; ok {
		return u.raw
	}
	return nil
}

// answer returns the completion: a choice's `delta` becomes its `message`, as if it had never been streamed.
func (c *completion) answer() ([]byte, error) {
	if c.failed != nil {
		return c.failed, nil
	}
	if c.top == nil || !c.finished() && (!c.done || c.tellsEnds()) {
		return nil, errCutShort()
	}
	if object, ok := c.top["object"]; ok && string(object.raw) == `"chat.completion.chunk"` {
		object.raw = json.RawMessage(`"chat.completion"`)
	}
	for _, choice := range c.choices.items {
		c.asMessage(choice.node)
		if err := nameless(choice.node); err != nil {
			return nil, err
		}
	}
	c.top[choicesKey] = &c.choices
	whole := node{kind: objectNode, fields: c.top}
	return whole.appendTo(make([]byte, 0, c.growth.bytes)), nil
}

// finished reports whether there is a choice, and each tells why it ended. Some providers leave out the `[DONE]` at the end.
func (c *completion) finished() bool {
	if len(c.choices.items) == 0 {
		return false
	}
	for _, choice := range c.choices.items {
		reason, ok := choice.node.fields["finish_reason"]
		if !ok || reason.empty() {
			return false
		}
	}
	return true
}

// tellsEnds reports whether a choice has a reason to finish, be it null: then an end without one is none.
func (c *completion) tellsEnds() bool {
	for _, choice := range c.choices.items {
		if _, ok := choice.node.fields["finish_reason"]; ok {
			return true
		}
	}
	return false
}

// asMessage turns a chunk's choice into a completion's. A message whose deltas name no role, or no content, is one all the
// same, as OpenAI writes it.
func (c *completion) asMessage(choice *node) {
	message, ok := choice.fields["delta"]
	if !ok {
		return
	}
	if whole, ok := choice.fields["message"]; ok && !whole.empty() {
		return // Who sends both says the same twice: it comes out as it came.
	}
	delete(choice.fields, "delta")
	choice.fields["message"] = message
	if message.kind != objectNode {
		return
	}
	if _, ok := message.fields[contentKey]; !ok {
		message.fields[contentKey] = &node{raw: json.RawMessage("null")}
	}
	if role, ok := message.fields["role"]; c.chat && (!ok || role.empty()) {
		message.fields["role"] = &node{raw: json.RawMessage(`"assistant"`)}
	}
	if calls, ok := message.fields[callsKey]; ok {
		for _, call := range calls.items {
			delete(call.node.fields, "index") // It orders the chunks; a message's list has its own order.
		}
	}
}
