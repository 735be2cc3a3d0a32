package batch_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

// hostileLines are lines of about n bytes that are cheap to write and dear to
// decode into maps and lists.
func hostileLines(n int) map[string][]byte {
	fill := func(before string, one func(i int) string, after string) []byte {
		b := bytes.NewBufferString(before)
		for i := 0; b.Len() < n-len(after); i++ {
			b.WriteString(one(i))
		}
		return append(b.Bytes(), after...)
	}
	head := `{"custom_id":"a","method":"POST","url":"` + chat + `","body":{"model":"m","messages":[]`
	key := func(i int) string { return fmt.Sprintf(`,"%x":0`, i) }
	return map[string][]byte{
		"a million keys in the body": fill(head, key, "}}"),
		"a million keys beside it":   fill(head+"}", key, "}"),
		"one key a million times":    fill(head, func(int) string { return `,"model":"m"` }, "}}"),
		"keys full of escapes":       fill(head, func(i int) string { return fmt.Sprintf(`,"\u0061%x":0`, i) }, "}}"),
		"lists of nothing":           fill(head+`,"x":[[]`, func(int) string { return `,[]` }, "]}}"),
		"deep objects": fill(head+`,"x":[0`, func(int) string {
			return "," + strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000)
		}, "]}}"),
		"one long text": fill(head+`,"x":"`, func(int) string { return `\u0000` }, `"}}`),
	}
}

// allocated returns how many bytes f allocates, freed ones too.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestInputTakesNoMemory demands that no line takes more to be read than a
// fraction of itself, all that is freed meanwhile included.
func TestInputTakesNoMemory(t *testing.T) { //nolint:paralleltest // it measures the process
	for name, line := range hostileLines(9_800_000) { //nolint:paralleltest // as above
		t.Run(name, func(t *testing.T) {
			var in batch.Input
			var err error
			used := allocated(func() { in, err = batch.ParseInput(line, chat) })
			if err != nil || in.Model != "m" {
				t.Fatalf("model %q, %v", in.Model, err)
			}
			if most := uint64(len(line) / 10); used > most {
				t.Errorf("ParseInput allocates %d bytes for a line of %d, want at most %d", used, len(line), most)
			}
			used = allocated(func() { batch.EmbeddingInputs(in.Body) })
			if most := uint64(len(line) / 10); used > most {
				t.Errorf("EmbeddingInputs allocates %d bytes for a line of %d, want at most %d", used, len(line), most)
			}
		})
	}
}
