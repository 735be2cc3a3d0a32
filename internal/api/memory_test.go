package api_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// TestHostileBodies demands that no JSON body takes much more than itself, all
// that is freed meanwhile included.
func TestHostileBodies(t *testing.T) { //nolint:paralleltest // it measures the process
	const size, most = 1_000_000, 12_000_000
	fill := func(before string, one func(i int) string, after string) string {
		var b strings.Builder
		b.WriteString(before)
		for i := 0; b.Len() < size; i++ {
			b.WriteString(one(i))
		}
		return b.String() + after
	}
	head := `{"endpoint":"/v1/embeddings","completion_window":"24h"`
	key := func(i int) string { return fmt.Sprintf(`,"%x":0`, i) }
	for name, body := range map[string]string{ //nolint:paralleltest // as above
		"keys":             fill(head, key, "}"),
		"keys of metadata": fill(head+`,"input_file_id":"file-a","metadata":{"a":"b"`, key, "}}"),
		"lists":            fill(head+`,"x":[[]`, func(int) string { return ",[]" }, "]}"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w.post("/v1/batches", body).want(http.StatusBadRequest)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > most {
				t.Errorf("%d bytes are allocated for a body of %d", used, len(body))
			}
		})
	}
}
