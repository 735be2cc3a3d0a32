package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/upstream"
)

// TestDepthTakesNoStacks has 500 calls, up to 250 at once, whose lines and answers nest nearly as deep as may be: who waits, or
// is kept for the next call, has no stack of such a text.
func TestDepthTakesNoStacks(t *testing.T) { //nolint:paralleltest // it measures the process
	if raceTimes > 1 {
		t.Skip("the race detector has many texts be read beside each other")
	}
	const lines, most = 500, 256 << 20 // a busy machine reads some at once, each on 2 MB; all that wait would have 1 GB
	deep := strings.Repeat("[", 9_980) + strings.Repeat("]", 9_980)
	var mu sync.Mutex
	var stacks uint64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		mu.Lock()
		stacks = max(stacks, m.StackInuse)
		mu.Unlock()
		time.Sleep(100 * time.Millisecond) // so long it takes to answer
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"x":`+deep+`}`)
	}))
	defer s.Close()
	dir := diskFiles(t.TempDir())
	must(t, dir.fill("attacker", lines, func(w *bufio.Writer, name string) {
		_, _ = fmt.Fprintf(w, `{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":{"name":%[1]q,"model":"m","messages":[],"x":%s}}`+"\n", name, deep)
	}))
	worker, event := prepare(t, calling(upstream.Config{}, s.URL), execute.Config{}, dir, "attacker")
	if left := worker.Run(t.Context(), event); len(left) > 0 {
		t.Errorf("%d messages stay", len(left))
	}
	if t.Logf("stacks of %d MiB", stacks>>20); stacks > most {
		t.Errorf("stacks have %d bytes, want at most %d", stacks, most)
	}
}
