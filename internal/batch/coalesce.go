package batch

import (
	"cmp"
	"slices"
)

const (
	// maxGap is how many bytes of no use are read along rather than asked around:
	// a request costs as much time as some 100 KB take.
	maxGap = 64 << 10
	// maxRange bounds what one read of several extents brings, in bytes.
	maxRange = 4 << 20
)

// An Extent is where something lies in an object.
type Extent struct {
	Key    string
	Offset int64
	Length int64
}

// A Range is what one read brings: the extents of some items, which lie close
// together, in the order of their offsets.
type Range[T any] struct {
	Extent
	Items []T
}

// Coalesce groups items, each of which lies where at says, into ranges of 4 MiB
// at most unless one item is longer.
func Coalesce[T any](items []T, at func(T) Extent) []Range[T] {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b T) int {
		x, y := at(a), at(b)
		return cmp.Or(cmp.Compare(x.Key, y.Key), cmp.Compare(x.Offset, y.Offset))
	})
	var ranges []Range[T]
	for i, item := range items {
		e := at(item)
		if n := len(ranges); n > 0 && ranges[n-1].takes(e) {
			r := &ranges[n-1]
			r.Length = max(r.Length, e.Offset+e.Length-r.Offset)
			r.Items = items[i-len(r.Items) : i+1]
			continue
		}
		ranges = append(ranges, Range[T]{Extent: e, Items: items[i : i+1]})
	}
	return ranges
}

// takes reports whether e, which begins no earlier than any of r, is read with r.
func (r *Range[T]) takes(e Extent) bool {
	return e.Key == r.Key && e.Offset-(r.Offset+r.Length) <= maxGap && e.Offset+e.Length-r.Offset <= maxRange
}
