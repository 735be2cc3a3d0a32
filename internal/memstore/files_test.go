package memstore_test

import (
	"testing"

	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/storetest"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	storetest.RunFiles(t, func(*testing.T) storetest.Objects { return memstore.NewFiles() })
}

// The local cloud takes smaller parts than S3 does; the store in memory does not.
func TestFilesRefusesSmallParts(t *testing.T) {
	t.Parallel()
	files := memstore.NewFiles()
	id, err := files.StartParts(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for n := range 2 {
		tag, err := files.PutPart(t.Context(), "k", id, n+1, make([]byte, 5<<20-1))
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	if err := files.FinishParts(t.Context(), "k", id, tags); err == nil {
		t.Error("a first part of less than 5 MiB was taken")
	}
}
