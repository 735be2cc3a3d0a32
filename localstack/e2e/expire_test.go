//go:build e2e

package e2e_test

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
)

// expiringWithin is the time in which 50,000 unfinished lines end after their
// deadline on a machine that does nothing else, less the 5 s of grace.
const expiringWithin = 55 * time.Second

// TestManyUnfinishedLines demands that a batch with many unfinished lines ends
// soon after its deadline: 50,000 within 60 s, and half a minute for what else the
// machine does. MUSKETRY_E2E_UNFINISHED tells how many; the tests beside it leave
// it too little for all of them.
func TestManyUnfinishedLines(t *testing.T) {
	t.Parallel()
	lines, err := strconv.Atoi(cmp.Or(os.Getenv("MUSKETRY_E2E_UNFINISHED"), "1000"))
	if err != nil {
		t.Fatal(err)
	}
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	var file strings.Builder
	for i := range lines {
		fmt.Fprintf(&file, `{"custom_id":"line-%d","method":"POST","url":"/v1/chat/completions","body":`+
			`{"model":"standin:hang","user":"%s/line-%d","messages":[{"role":"user","content":"x"}]}}`+"\n", i+1, m, i+1)
	}
	window := 30*time.Second + time.Duration(lines)*3*time.Millisecond // to load them takes a third of it
	b := create(t.Context(), t, c, uploadParts(t.Context(), t, c, openai.FilePurposeBatch, []byte(file.String())), window.String())
	deadline := time.Unix(b.ExpiresAt, 0)
	b = await(t.Context(), t, c, b.ID, window, func(b *openai.Batch) bool { return b.Status == openai.BatchStatusInProgress })
	t.Logf("%d lines are loaded %v before the deadline", lines, time.Until(deadline))
	b = await(t.Context(), t, c, b.ID, time.Until(deadline)+2*patience, ended)
	took := time.Since(deadline)
	t.Logf("ended %v after the deadline", took)
	if b.Status != openai.BatchStatusExpired || took > 30*time.Second+time.Duration(lines)*expiringWithin/50_000 {
		t.Errorf("batch ended after %v as %s", took, describe(b))
	}
	got := results(t.Context(), t, c, b.ErrorFileID)
	if len(got) != lines {
		t.Fatalf("%d error lines of %d", len(got), lines)
	}
	for i, r := range got {
		if r.CustomID != fmt.Sprint("line-", i+1) || errorCode(r) != "batch_expired" {
			t.Fatalf("line %d is %+v", i+1, r)
		}
	}
}
