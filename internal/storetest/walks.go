package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/musketry/musketry/internal/state"
)

func walkTrials() []trial[Store] {
	return []trial[Store]{
		{"Requests/in the order of lines, whatever the shards", walkOrder},
		{"Requests/missing lines and empty shards", walkHoles},
		{"Requests/over many pages", walkPages},
		{"Requests/ends early", walkEarly},
		{"Requests/shows each as it is stored", walkStates},
		{"Requests/keeps batches apart", walkApart},
		{"Requests/nothing", walkNothing},
		{"Requests/canceled context", walkCanceled},
	}
}

// walked returns the lines that Requests yields.
func walked(t *testing.T, s Store, batchID string, shards, after int) []int {
	t.Helper()
	var lines []int
	for rec, err := range s.Requests(t.Context(), batchID, shards, after) {
		ok(t, err)
		lines = append(lines, rec.Spec.Key.Line)
	}
	return lines
}

// lines returns first to last.
func lines(first, last int) []int {
	var ns []int
	for n := first; n <= last; n++ {
		ns = append(ns, n)
	}
	return ns
}

func walkOrder(t *testing.T, s Store) {
	for _, shards := range []int{1, 2, 3, 7, 64} {
		batchID := unique("batch_")
		cs := creations(t, batchID, 1, 150, shards)
		slices.Reverse(cs)
		ok(t, s.Create(t.Context(), cs))
		for _, after := range []int{0, 1, 9, 10, 99, 149, 150, 151} {
			same(t, "lines", walked(t, s, batchID, shards, after), lines(after+1, 150))
		}
	}
}

func walkHoles(t *testing.T, s Store) {
	batchID := unique("batch_")
	want := []int{2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 1_000_000, 99_999_999}
	var cs []state.Change
	for _, line := range want {
		cs = append(cs, change(t, state.New(spec(batchID, line, 16))))
	}
	ok(t, s.Create(t.Context(), cs))
	same(t, "lines", walked(t, s, batchID, 16, 0), want)
	same(t, "lines", walked(t, s, batchID, 16, 55), want[8:])
	same(t, "lines", walked(t, s, batchID, 16, -3), want)
}

func walkPages(t *testing.T, s Store) {
	batchID := unique("batch_")
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, 700, 2)))
	same(t, "lines", walked(t, s, batchID, 2, 0), lines(1, 700))
}

func walkEarly(t *testing.T, s Store) {
	batchID := unique("batch_")
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, 50, 3)))
	n := 0
	for _, err := range s.Requests(t.Context(), batchID, 3, 10) {
		ok(t, err)
		if n++; n == 4 {
			break
		}
	}
	if n != 4 {
		t.Fatalf("%d requests before the break, want 4", n)
	}
}

func walkStates(t *testing.T, s Store) {
	batchID := unique("batch_")
	var want []state.Record
	for i, l := range lives() {
		r := apply(t, s, state.New(spec(batchID, i+1, 4)))
		cs := l.lead(t, r)
		for _, c := range cs {
			ok(t, s.Apply(t.Context(), c))
		}
		want = append(want, cs[len(cs)-1].Record())
	}
	var got []state.Record
	for rec, err := range s.Requests(t.Context(), batchID, 4, 0) {
		ok(t, err)
		got = append(got, rec)
	}
	same(t, "requests", got, want)
}

func walkApart(t *testing.T, s Store) {
	batchID := unique("batch_")
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, 9, 2)))
	ok(t, s.Create(t.Context(), creations(t, batchID+"1", 1, 20, 2)))
	same(t, "lines", walked(t, s, batchID, 2, 0), lines(1, 9))
}

func walkNothing(t *testing.T, s Store) {
	same(t, "lines", walked(t, s, unique("batch_"), 5, 0), nil)
	same(t, "lines", walked(t, s, unique("batch_"), 0, 0), nil)
}

func walkCanceled(t *testing.T, s Store) {
	batchID := unique("batch_")
	ok(t, s.Create(t.Context(), creations(t, batchID, 1, 5, 1)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for _, err := range s.Requests(ctx, batchID, 1, 0) {
		wantErr(t, err, context.Canceled)
		n++
	}
	if n != 1 {
		t.Fatalf("%d steps after the error, want none", n-1)
	}
	for _, err := range s.Requests(ctx, unique("batch_"), 1, 0) { // nor does a batch without requests end well
		wantErr(t, err, context.Canceled)
		n++
	}
	if n != 2 {
		t.Fatal("a walk of nothing has no error")
	}
}
