package limit

import (
	"slices"
	"time"
)

const (
	// step is how finely a Window tells times apart.
	step = 3 * time.Second
	// steps is how many a Window keeps: a minute, what clocks and networks blur
	// it by, and a block of call times ahead.
	steps = 26
)

// A Window counts what happened in the last minute or so, by steps of 3 s.
type Window struct {
	First int64   `json:"f,omitzero"` // the step of N[0], counted from 1970
	N     []int64 `json:"n,omitempty"`
}

func stepOf(at Instant) int64 { return int64(at) / int64(step/time.Microsecond) }

// endOf returns when a step ends.
func endOf(n int64) Instant { return Instant(0).Add(step) * Instant(n+1) }

// Add returns w with n more at that time, and without what is too old to count
// beside it. What is itself too old is not counted.
func (w Window) Add(at Instant, n int64) Window {
	i := stepOf(at)
	switch {
	case n == 0:
		return w
	case len(w.N) == 0:
		return Window{First: i, N: []int64{n}}
	case i <= w.last()-steps:
		return w
	}
	first, last := max(min(w.First, i), max(w.last(), i)-steps+1), max(w.last(), i)
	sum := make([]int64, last-first+1)
	for at, n := range w.N {
		if to := w.First + int64(at) - first; to >= 0 {
			sum[to] += n
		}
	}
	sum[i-first] += n
	return Window{First: first, N: sum}.trimmed()
}

// Merge returns the sum of w and v.
func (w Window) Merge(v Window) Window {
	for i, n := range v.N {
		w = w.Add(endOf(v.First+int64(i))-1, n)
	}
	return w
}

func (w Window) last() int64 { return w.First + int64(len(w.N)) - 1 }

// begins returns when the first step begins.
func (w Window) begins() Instant { return endOf(w.First - 1) }

func (w Window) trimmed() Window {
	for len(w.N) > 0 && w.N[0] == 0 {
		w.First, w.N = w.First+1, w.N[1:]
	}
	for len(w.N) > 0 && w.N[len(w.N)-1] == 0 {
		w.N = w.N[:len(w.N)-1]
	}
	if len(w.N) == 0 {
		return Window{}
	}
	return w
}

// Between returns how much happened in the steps that end after from and begin
// before to.
func (w Window) Between(from, to Instant) int64 {
	sum := int64(0)
	for i, n := range w.N {
		if end := endOf(w.First + int64(i)); end > from && end.Add(-step) < to {
			sum += n
		}
	}
	return max(sum, 0)
}

// room returns the first instant from at on when what happened in the time over
// before it, and n more, are at most limit: n is at most that.
func (w Window) room(at Instant, over time.Duration, n, limit int64) Instant {
	sum := w.sum()
	for i, gone := range w.N {
		if sum+n <= limit {
			break
		}
		at = max(at, endOf(w.First+int64(i)).Add(over))
		sum -= gone
	}
	return at
}

func (w Window) clone() Window { return Window{First: w.First, N: slices.Clone(w.N)}.trimmed() }

func (w Window) sum() int64 {
	sum := int64(0)
	for _, n := range w.N {
		sum += n
	}
	return sum
}
