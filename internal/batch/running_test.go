package batch_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

func TestFlowNames(t *testing.T) {
	t.Parallel()
	id, err := batch.NewID(batch.PrefixBatch, time.Unix(1_700_000_000, 0), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{1: id, 2: id + "-2", 999_999: id + "-999999"} {
		name := batch.FlowName(id, n)
		gotID, gotN, err := batch.ParseFlowName(name)
		if name != want || len(name) > 80 || gotID != id || gotN != n || err != nil {
			t.Errorf("flow %d is %q, which is flow %d of %q, %v", n, name, gotN, gotID, err)
		}
	}
	for _, name := range []string{"", "batch_1", id + "-", id + "-1", id + "-0", id + "--2", id + "-02", id + "-2-2", "x" + id} {
		if gotID, n, err := batch.ParseFlowName(name); err == nil {
			t.Errorf("%q is flow %d of %q", name, n, gotID)
		}
	}
}
