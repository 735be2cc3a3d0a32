package multipart_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/multipart"
)

const key = "object"

// A bucket remembers which uploads were started and dropped.
type bucket struct {
	*memstore.Files

	meet    sync.WaitGroup // all who start an upload have read the record before
	mu      sync.Mutex
	started []string
	dropped []string
}

func (b *bucket) StartParts(ctx context.Context, key string) (string, error) {
	b.meet.Done()
	b.meet.Wait()
	id, err := b.Files.StartParts(ctx, key)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = append(b.started, id)
	return id, err
}

func (b *bucket) AbortParts(ctx context.Context, key, id string) error {
	b.mu.Lock()
	b.dropped = append(b.dropped, id)
	b.mu.Unlock()
	return b.Files.AbortParts(ctx, key, id)
}

// TestTwoWriters has two begin an upload at the same time: one is heard, the
// other drops its own, and both see the object come to its end once.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	store, files := memstore.NewStore(), &bucket{Files: memstore.NewFiles()}
	record := batch.Batch{Ref: batch.Ref{Tenant: "acme", ID: "batch_1"}}
	if err := store.CreateBatch(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	w := multipart.Writer{
		Batches: store, Objects: files, Uploads: files, Key: key,
		Cursor: func(b *batch.Batch) *batch.Multipart { return &b.WriteOut.Output },
	}
	first := multipart.Chunk{Bytes: bytes.Repeat([]byte("a\n"), 3<<20), Lines: 3 << 20, Line: 4 << 20}
	files.meet.Add(2)
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, _, err := w.Put(t.Context(), record, first); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b, err := store.Batch(t.Context(), record.Ref)
	if err != nil {
		t.Fatal(err)
	}
	cursor := b.WriteOut.Output
	if len(cursor.Parts) != 1 || cursor.Line != first.Line || cursor.Lines != first.Lines || cursor.Bytes != int64(len(first.Bytes)) {
		t.Errorf("the cursor is at line %d, of %d lines in %d bytes and %d parts", cursor.Line, cursor.Lines, cursor.Bytes, len(cursor.Parts))
	}
	others := slices.DeleteFunc(slices.Clone(files.started), func(id string) bool { return id == cursor.UploadID })
	if diff := cmp.Diff(others, files.dropped); diff != "" || len(others) != 1 {
		t.Errorf("uploads that were dropped (-want +got):\n%s", diff)
	}
	if _, ours, err := w.Put(t.Context(), b, first); ours || err != nil {
		t.Errorf("a chunk behind the cursor is written again: %v", err)
	}
	last := multipart.Chunk{Bytes: []byte("b\n"), Lines: 1, After: first.Line, Line: first.Line + 1}
	var whole multipart.Whole
	for range 2 { // the second joins again
		var done bool
		if b, whole, done, err = w.Finish(t.Context(), b, last); err != nil || !done {
			t.Fatalf("the object is not whole: %v", err)
		}
		last = multipart.Chunk{After: last.Line, Line: last.Line}
	}
	want := append(slices.Clone(first.Bytes), "b\n"...)
	got, err := files.Read(t.Context(), key, 0, whole.Bytes)
	if err != nil || !bytes.Equal(got, want) || whole.Digest.Sum() != batch.Digest("").Append(0, want).Sum() {
		t.Errorf("the object has %d bytes, want %d: %v", len(got), len(want), err)
	}
}
