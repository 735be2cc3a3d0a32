package memstore_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Store { return memstore.NewStore() })
}

// TestPair holds the sequences themselves: each operation succeeds and fails.
func TestPair(t *testing.T) {
	t.Parallel()
	storetest.RunPair(t, func(*rapid.T) (storetest.Store, storetest.Store) {
		return memstore.NewStore(), memstore.NewStore()
	})
}
