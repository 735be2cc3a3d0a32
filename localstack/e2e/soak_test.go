//go:build e2e && soak

package e2e_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
)

// missedWithin is how long it takes at most until a lost message is missed, and its line done all the same.
const missedWithin = 15 * time.Minute

// A loss is a batch that has lost messages.
type loss struct {
	batch string
	order []string
	at    time.Time
}

// losses are those of earlier runs, and lossRuns counts them: a process that runs the tests many times need not wait for
// each.
var (
	losses   []loss
	lossRuns int
)

// TestMissedMessages deletes messages of a batch behind everybody's back, and demands that it completes with every line
// within a quarter of an hour. It waits for that in the last of MUSKETRY_E2E_RUNS runs only.
func TestMissedMessages(t *testing.T) {
	t.Parallel()
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("MUSKETRY_E2E_RUNS"), "1"))
	if err != nil {
		t.Fatal(err)
	}
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	lines, order := slowLines(t, m)
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "2h")
	loseMessages(t, b.ID, 20)
	losses, lossRuns = append(losses, loss{batch: b.ID, order: order, at: time.Now()}), lossRuns+1
	losses = slices.DeleteFunc(losses, func(l loss) bool {
		left := missedWithin - time.Since(l.at)
		if left > 0 && lossRuns < runs {
			return false
		}
		b := await(t.Context(), t, c, l.batch, max(left, time.Minute), ended)
		took := time.Unix(b.CompletedAt, 0).Sub(l.at)
		t.Attr("missed", fmt.Sprintf("lost messages were missed in %v", took.Round(time.Second)))
		if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != int64(len(l.order)) || took > missedWithin {
			t.Errorf("batch ended %s, %v after it had lost messages", describe(b), took)
		}
		if diff := gocmp.Diff(l.order, customIDs(results(t.Context(), t, c, b.OutputFileID))); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		return true
	})
}
