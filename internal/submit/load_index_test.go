package submit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/submit"
)

// found returns the lines that the stored index has for a custom_id.
func (b *bench) found(tb testing.TB, customID string) []int {
	tb.Helper()
	got, err := batch.FindLines(customID, b.stored(tb).Counts.Total, func(offset, length int64) ([]byte, error) {
		return b.files.Read(tb.Context(), batch.IndexKey(b.record.ID), offset, length)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// TestLoadWritesTheIndex finds every request by its custom_id, under the number
// that its key has: blank lines do not count.
func TestLoadWritesTheIndex(t *testing.T) {
	t.Parallel()
	bn := newBench(t, "\n"+requestLine("ü/1")+"\n\n\n"+requestLine("id-2")+"\r\n"+requestLine("id-3"))
	bn.load(t, submit.LoadConfig{})
	for _, rec := range bn.requests(t) {
		if got := bn.found(t, rec.Spec.CustomID); !slices.Equal(got, []int{rec.Spec.Key.Line}) {
			t.Errorf("%q lies at %d, found %v", rec.Spec.CustomID, rec.Spec.Key.Line, got)
		}
	}
	if got := bn.found(t, "id-4"); got != nil {
		t.Errorf("found %v", got)
	}
}

// A failingInput cannot put.
type failingInput struct {
	*memstore.Files
	err error
}

func (f failingInput) Put(context.Context, string, []byte) error { return f.err }

// TestLoadIndexComesFirst: no batch is validated without its index, one that
// was written before a crash is written again, the same, and a bad file has none.
func TestLoadIndexComesFirst(t *testing.T) {
	t.Parallel()
	down := errors.New("the bucket is down")
	bn := newBench(t, lines(100))
	files := bn.files
	_, err := bn.loaderOf(failingInput{files, down}).Load(t.Context(), submit.Task{Ref: bn.record.Ref, Record: &bn.record})
	if !errors.Is(err, down) || bn.stored(t).Load.Validated {
		t.Fatalf("error %v, batch %+v", err, bn.stored(t))
	}
	stale := slices.Repeat([]byte("stale"), 1_000)
	if err := files.Put(t.Context(), batch.IndexKey(bn.record.ID), stale); err != nil {
		t.Fatal(err)
	}
	bn.load(t, submit.LoadConfig{})
	for i := range 100 {
		if got := bn.found(t, fmt.Sprintf("id-%d", i+1)); !slices.Equal(got, []int{i + 1}) {
			t.Fatalf("line %d: found %v", i+1, got)
		}
	}

	bad := newBench(t, requestLine("a")+"\n"+requestLine("a"))
	bad.load(t, submit.LoadConfig{})
	if diff := cmp.Diff([]string{batch.FileKey("acme", "file-in")}, bad.files.Keys()); diff != "" {
		t.Error(diff)
	}
}
