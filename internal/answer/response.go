package answer

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/musketry/musketry/internal/jsonscan"
)

// A response assembles a stream of the Responses API: the event that ends it brings the whole answer, and those before
// it are its pieces.
type response struct {
	whole []byte
	items map[int][]byte // the items of the output that are done, for an end that leaves them out
	lost  error          // of an item that was done and does not say where it belongs
	bytes int64
}

// add keeps the final event's response.
func (r *response) add(e event) (bool, error) {
	if e.ends() {
		return true, nil
	}
	m, err := jsonscan.Pick(e.data, "type", "response", "output_index", "item")
	if err != nil {
		return r.fail(e, errNotJSON())
	}
	kind := name(m[0])
	if kind == "" {
		kind = e.name
	}
	switch kind {
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done":
		if !object(m[1]) {
			return false, errNotJSON()
		}
		r.whole = m[1]
		return true, nil
	case "response.output_item.done":
		r.lost = cmp.Or(r.lost, r.keep(m[2], m[3])) // The end may bring them all.
		return false, nil
	}
	return r.fail(e, nil)
}

// fail takes an event that stands for an error, or returns otherwise.
func (r *response) fail(e event, otherwise error) (bool, error) {
	body, ok := errorEvent(e)
	if !ok {
		return false, otherwise
	}
	r.whole = body
	return true, nil
}

// keep keeps an item of the output.
func (r *response) keep(index, item []byte) error {
	at, err := strconv.Atoi(string(index))
	switch {
	case err != nil || !object(item):
		return errUnclear("its stream has an item of the output that does not say where it belongs")
	case at < 0 || at >= maxItems:
		return errUnclear("its stream has an index out of bounds")
	}
	if r.items == nil {
		r.items = make(map[int][]byte)
	}
	r.bytes += int64(len(item)-len(r.items[at])) + nodeCost
	r.items[at] = bytes.Clone(item) // A part of an event would hold on to all of it.
	return nil
}

// maxItems bounds the items of a response's output.
const maxItems = 4096

func (r *response) size() int64 { return max(int64(len(r.whole)), r.bytes) }

func (r *response) usage() []byte { return nil }

// answer returns what the last event brought, and the items that were done where it has no output.
func (r *response) answer() ([]byte, error) {
	if r.whole == nil {
		return nil, errCutShort()
	}
	if len(r.items) == 0 && r.lost == nil || some(member(r.whole, "output")) || some(member(r.whole, "error")) {
		return r.whole, nil
	}
	if r.lost != nil {
		return nil, r.lost
	}
	whole := []byte{'{'}
	err := jsonscan.Members(r.whole, func(key, value []byte) error {
		if keyOf(key) != "output" {
			whole = append(append(append(append(whole, key...), ':'), value...), ',')
		}
		return nil
	})
	if err != nil {
		return nil, errNotJSON()
	}
	whole = append(whole, `"output":[`...)
	for i, at := range slices.Sorted(maps.Keys(r.items)) {
		if i > 0 {
			whole = append(whole, ',')
		}
		whole = append(whole, r.items[at]...)
	}
	return append(whole, "]}"...), nil
}
