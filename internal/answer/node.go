package answer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/musketry/musketry/internal/jsonscan"
)

const (
	// maxMergeDepth is how deep the parts of a delta are merged; what lies deeper is taken over whole.
	maxMergeDepth = 8

	// nodeCost is what a value costs besides its own bytes, so that many tiny ones are bounded as well: a node, its place
	// in a map, and a map or a list of its own.
	nodeCost = 512
)

// A growth is how much has come, in about so many bytes and in so many events.
type growth struct {
	bytes int64
	event int
}

// A scope is where in a chunk a value stands, by which strings that come in pieces are told from those that come whole.
type scope int

const (
	inTop    scope = iota // a chunk's own members: each comes whole
	inChoice              // a choice's: its text comes in pieces
	inDelta               // what a choice has grown by: it comes in pieces, but for names
)

// A node is a value that grows by deltas: an object by its fields, a list by its items and its tail, a string that comes
// in pieces by its text. Any other value is raw.
type node struct {
	kind   nodeKind
	fields map[string]*node
	items  []*item // Those that later deltas add to.
	turn   int     // How often one was.
	tail   tail    // Those that they do not.
	text   []byte  // As JSON writes it, so that half a surrogate pair finds its other half.
	raw    json.RawMessage
	event  int // In which it last came as a member.
}

type nodeKind int

const (
	rawNode nodeKind = iota
	objectNode
	listNode
	textNode
)

// merge adds a delta's value to the node and its size to g. key is the member's name. It returns an *UnclearError for
// what does not go together.
func (n *node) merge(in scope, key string, raw json.RawMessage, depth int, g *growth) error {
	if n.outlasts(in, raw) {
		return nil
	}
	kind := rawNode
	switch {
	case depth > 0 && raw[0] == '{':
		kind = objectNode
	case depth > 0 && raw[0] == '[':
		kind = listNode
	case depth > 0 && raw[0] == '"' && inPieces(in, key):
		kind = textNode
	}
	if n.kind == listNode && kind == textNode && in == inDelta && key == contentKey && !n.empty() {
		g.bytes += n.tail.addText(raw)
		return nil
	}
	if !n.empty() && n.kind != kind {
		return errUnclear("its stream says two things of one member")
	}
	switch kind {
	case objectNode:
		return n.mergeObject(in, key, raw, depth, g)
	case listNode:
		return n.mergeList(in, key, raw, depth, g)
	case textNode:
		g.bytes += int64(len(raw) - 2)
		*n = node{kind: textNode, text: append(n.text, raw[1:len(raw)-1]...), event: n.event}
	case rawNode:
		if !bytes.Equal(raw, n.raw) {
			g.bytes += int64(len(raw) - len(n.raw))
			*n = node{raw: bytes.Clone(raw), event: n.event} // A part of an event would hold on to all of it.
		}
	}
	return nil
}

func (n *node) mergeObject(in scope, key string, raw json.RawMessage, depth int, g *growth) error {
	if n.kind != objectNode {
		*n = node{kind: objectNode, fields: make(map[string]*node), event: n.event}
	}
	if in == inChoice && key == "delta" {
		in = inDelta
	}
	return jsonscan.Members(raw, func(key, value []byte) error {
		member := field(n.fields, key, g)
		if member.event == g.event {
			return errUnclear("its stream has an event with two members of one name")
		}
		member.event = g.event
		return member.merge(in, keyOf(key), value, depth-1, g)
	})
}

// field returns the node of a member, which is made if there is none.
func field(fields map[string]*node, name []byte, g *growth) *node {
	if n, ok := fields[string(name[1:len(name)-1])]; ok && bytes.IndexByte(name, '\\') < 0 {
		return n // Most names come again and again: no copy is made of them.
	}
	key := keyOf(name)
	n, ok := fields[key]
	if !ok {
		n = &node{}
		fields[key] = n
		g.bytes += nodeCost + int64(len(key))
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

// mergeList merges items that carry an `index` into the item that they go on with, and appends all others. Choices that
// some provider sends without one are meant by their place, and tool calls by their id.
func (n *node) mergeList(in scope, key string, raw json.RawMessage, depth int, g *growth) error {
	if n.kind != listNode {
		*n = node{kind: listNode, event: n.event}
	}
	if key == choicesKey {
		in = inChoice
	}
	place, since := -1, n.turn
	return jsonscan.Items(raw, func(value []byte) error {
		place++
		m, err := n.mark(key, value, place)
		switch {
		case err != nil:
			return err
		case !m.indexed:
			g.bytes += n.tail.add(value)
			return nil
		case m.index < 0 || m.index >= maxIndex:
			return errUnclear("its stream has an index out of bounds")
		}
		i := n.find(m)
		if i == nil || key == callsKey && i.turn > since && (m.id == "" || m.id != i.id) { // A delta names each call once.
			i = &item{index: m.index, node: &node{}}
			n.items = append(n.items, i)
			g.bytes += nodeCost
		} else if err := i.node.goesOn(m, value); err != nil {
			return err
		}
		n.turn++
		i.turn, i.id, i.kind = n.turn, cmp.Or(m.id, i.id), cmp.Or(m.kind, i.kind)
		return i.node.merge(in, "", value, depth-1, g)
	})
}

// mark returns which item of n, the list called key, one of a delta means, and whether it means any. It is at a place in
// the delta's own list.
func (n *node) mark(key string, value []byte, place int) (mark, error) {
	m := markOf(value)
	switch {
	case key == choicesKey && m.indexed:
		return mark{index: m.index, indexed: true}, nil
	case key == choicesKey:
		return mark{index: place, indexed: true}, nil
	case key == callsKey && !m.indexed && object(value):
		return n.place(m)
	}
	return m, nil
}

// A tail is what stands at the end of a list, as JSON with commas between, and behind it a text to which later ones add.
type tail struct{ items, text []byte }

// textPart is what a list of content has around a text.
const textPart = `{"type":"text","text":""}`

// add adds an item and returns how many bytes it took.
func (t *tail) add(item []byte) int64 {
	*t = tail{items: appendItem(t.all(), item)}
	return 1 + int64(len(item))
}

// addText adds a string and returns how many bytes it took.
func (t *tail) addText(raw []byte) int64 {
	size := int64(len(raw) - 2)
	if len(t.text) == 0 {
		size += 1 + int64(len(textPart))
	}
	t.text = append(t.text, raw[1:len(raw)-1]...)
	return size
}

// all returns the items, of which the text is the last.
func (t *tail) all() []byte {
	if len(t.text) == 0 {
		return t.items
	}
	end := len(textPart) - len(`"}`)
	part := append(append([]byte(textPart[:end]), t.text...), textPart[end:]...)
	return appendItem(t.items, part)
}

// appendItem adds an item to a list's inside.
func appendItem(list, item []byte) []byte {
	if len(list) > 0 {
		list = append(list, ',')
	}
	return append(list, item...)
}

// inPieces reports whether a string's deltas follow one another. The others name something and come whole, by some
// providers again with every chunk.
func inPieces(in scope, key string) bool {
	switch in {
	case inChoice:
		return key == "text" || key == "reasoning" || key == "reasoning_content"
	case inDelta:
		switch key {
		case "id", "role", "type", "object", "name", "model", "finish_reason", "stop_reason", "native_finish_reason", "format", "signature",
			"thought_signature", "url", "channel", "status", "provider":
			return false
		}
		return true
	case inTop:
	}
	return false
}

// empty reports whether nothing has been merged into the node, or only what says nothing.
func (n *node) empty() bool {
	switch n.kind {
	case objectNode:
		return len(n.fields) == 0
	case listNode:
		return len(n.items) == 0 && len(n.tail.items) == 0
	case textNode:
		return len(n.text) == 0
	case rawNode:
	}
	return n.raw == nil || blank(n.raw)
}

// appendTo writes the value that has grown.
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
		return append(append(append(dst, '"'), n.text...), '"')
	case rawNode:
		if n.raw != nil {
			return append(dst, n.raw...)
		}
	}
	return append(dst, "null"...)
}

// appendList writes a list: its items in the order of their indexes, and those of one index as they came.
func (n *node) appendList(dst []byte) []byte {
	dst = append(dst, '[')
	between := len(dst)
	slices.SortStableFunc(n.items, func(a, b *item) int { return cmp.Compare(a.index, b.index) })
	for _, i := range n.items {
		if len(dst) > between {
			dst = append(dst, ',')
		}
		dst = i.node.appendTo(dst)
	}
	rest := n.tail.all()
	if len(rest) > 0 && len(dst) > between {
		dst = append(dst, ',')
	}
	return append(append(dst, rest...), ']')
}

// outlasts reports whether a value takes nothing from the node, since it says nothing.
func (n *node) outlasts(in scope, raw json.RawMessage) bool {
	nothing := blank(raw) || in == inTop && string(raw) == "0"
	return nothing && !n.empty() || string(raw) == "null" && (n.kind != rawNode || n.raw != nil)
}

// blank reports whether a value says nothing that could replace another.
func blank(raw json.RawMessage) bool { return string(raw) == "null" || string(raw) == `""` }
