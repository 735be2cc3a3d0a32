package memstore_test

import (
	"testing"

	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Store { return memstore.NewStore() })
}
