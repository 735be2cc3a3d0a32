//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/upstream"
)

const (
	// functionMemory is what the stack gives the function, in bytes.
	functionMemory = 1024 << 20
	// resident is the most that the process may ever have had in memory: what
	// the worker's room allows, doubled by the garbage collector, and the program.
	resident = 400 << 20

	hostileLines, hostileBytes = 18, 9_800_000
	neighbourLines             = 3

	envChild = "MUSKETRY_TEST_MEMORY_CHILD" // the upstream's address, for the process that is limited
	envFiles = "MUSKETRY_TEST_MEMORY_FILES"
)

// TestHostileLinesKillNobody has one event with an attacker's batch, valid
// lines of a million keys each, and three requests of a neighbour, in a process
// that the system kills if it takes more memory than the function has.
func TestHostileLinesKillNobody(t *testing.T) { //nolint:paralleltest // the machine's memory is for one
	if url := os.Getenv(envChild); url != "" {
		limited(t, url, diskFiles(os.Getenv(envFiles)))
		return
	}
	dir := diskFiles(t.TempDir())
	must(t, dir.fill("attacker", hostileLines, hostileLine))
	must(t, dir.fill("neighbour", neighbourLines, shortLine))
	calls := &calls{by: map[string]int{}}
	s := httptest.NewServer(calls)
	defer s.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHostileLinesKillNobody$", "-test.v") //nolint:gosec // this very test
	child.Env = append(os.Environ(), envChild+"="+s.URL, envFiles+"="+string(dir))
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("the process died: %v: %.3000s", err, out)
	}
	peak := child.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	t.Logf("the process had up to %d MB", peak>>20)
	if peak > raceTimes*resident {
		t.Errorf("the process had up to %d bytes, want at most %d", peak, raceTimes*resident)
	}
	calls.mu.Lock()
	defer calls.mu.Unlock()
	for name, n := range calls.by {
		if n != 1 {
			t.Errorf("%s was called %d times, want once", name, n)
		}
	}
	if want := hostileLines + neighbourLines; len(calls.by) != want {
		t.Errorf("%d requests were called, want %d", len(calls.by), want)
	}
}

// TestLinesTakeWhatTheyWeigh holds what execute.Worker reckons with for a line,
// its length once if it is read alone and twice if with others, against all that
// a run allocates, freed meanwhile or not.
func TestLinesTakeWhatTheyWeigh(t *testing.T) { //nolint:paralleltest // it measures the process
	const call = 128 << 10
	for name, tt := range map[string]struct { //nolint:paralleltest // as above
		lines int
		one   func(w *bufio.Writer, name string)
		times int64
	}{
		"alone":    {1, hostileLine, 1},
		"together": {8, func(w *bufio.Writer, name string) { keysLine(w, name, 400_000) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := diskFiles(t.TempDir())
			must(t, dir.fill("attacker", tt.lines, tt.one))
			info, err := os.Stat(dir.path(batch.FileKey("attacker", "file-attacker")))
			must(t, err)
			s := httptest.NewServer(&calls{by: map[string]int{}})
			defer s.Close()
			worker, event := prepare(t, s.URL, dir, "attacker")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			left := worker.Run(t.Context(), event)
			runtime.ReadMemStats(&after)
			if len(left) > 0 {
				t.Errorf("%d messages stay", len(left))
			}
			used, most := int64(after.TotalAlloc-before.TotalAlloc), tt.times*info.Size()+int64(tt.lines+1)*call //nolint:gosec // small
			t.Logf("%d bytes for lines of %d", used, info.Size())
			if used > most {
				t.Errorf("a run allocates %d bytes for lines of %d, want at most %d", used, info.Size(), most)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// limited runs the event in this process, whose memory it limits.
func limited(t *testing.T, url string, files diskFiles) {
	t.Helper()
	must(t, syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: functionMemory, Max: functionMemory}))
	worker, event := prepare(t, url, files, "attacker", "neighbour")
	if left := worker.Run(t.Context(), event); len(event) != hostileLines+neighbourLines || len(left) > 0 {
		t.Errorf("%d of %d messages stay", len(left), len(event))
	}
}

// prepare returns a worker and an event with all requests of tenants.
func prepare(t *testing.T, url string, files diskFiles, tenants ...string) (*execute.Worker, []batch.Delivery) {
	t.Helper()
	store, queue := memstore.NewStore(), memstore.NewQueue(time.Now, time.Hour)
	for _, tenant := range tenants {
		load(t, store, queue, files, tenant)
	}
	worker := execute.New(execute.Deps{
		Requests: store, Workers: store, Batches: store, Files: files, Queue: queue, Flow: memstore.NewFlow(),
		Caller: calling(upstream.Config{}, url), Metrics: noMetrics{}, Log: slog.New(slog.DiscardHandler),
		Clock: time.Now, Uniform: func() float64 { return 0.5 }, NewID: rand.Text,
		Models: route.NewTable(route.DefaultModel(url, true)).Now,
	}, execute.Config{})
	received, err := queue.Receive(t.Context(), 1000)
	must(t, err)
	var event []batch.Delivery
	for _, m := range received {
		body, err := m.Message.Encode()
		must(t, err)
		event = append(event, batch.Delivery{MessageID: m.Handle, Handle: m.Handle, Receives: m.Receives, Body: body})
	}
	return worker, event
}

// load stores a tenant's batch as submit would have, and enqueues it.
func load(t *testing.T, store *memstore.Store, queue *memstore.Queue, files diskFiles, tenant string) {
	t.Helper()
	ref := batch.Ref{Tenant: tenant, ID: "batch_" + tenant}
	in, err := os.Open(files.path(batch.FileKey(tenant, "file-"+tenant))) //nolint:gosec // a folder of this test's
	must(t, err)
	defer func() { _ = in.Close() }()
	b := batch.Batch{
		Ref: ref, Endpoint: "/v1/chat/completions", InputFileID: "file-" + tenant, Policy: retry.Default(),
		Status: batch.StatusInProgress, Shards: 1, CreatedAt: time.Now(), InProgressAt: time.Now(),
		Deadline: time.Now().Add(time.Hour),
	}
	offset := int64(0)
	for lines := bufio.NewReaderSize(in, 1<<16); ; {
		n, err := lineLength(lines)
		if err != nil {
			break
		}
		b.Counts.Total++
		spec := state.Spec{
			Key: b.Key(b.Counts.Total), CustomID: fmt.Sprintf("%s-%d", tenant, b.Counts.Total), Deadline: b.Deadline,
			Body: state.Span{Offset: offset, Length: n - 1},
		}
		change, err := state.New(spec).Change()
		must(t, err)
		must(t, store.Create(t.Context(), []state.Change{change}))
		must(t, queue.Send(t.Context(), []batch.Message{batch.MessageOf(tenant, spec)}))
		offset += n
	}
	b.Enqueued = b.Counts.Total
	b.Load = batch.LoadCursor{Validated: true, Line: b.Counts.Total, Offset: offset}
	must(t, store.CreateBatch(t.Context(), b))
}

// lineLength passes over a line and returns its length, newline included.
func lineLength(in *bufio.Reader) (int64, error) {
	n := int64(0)
	for {
		part, err := in.ReadSlice('\n')
		n += int64(len(part))
		if err != bufio.ErrBufferFull { //nolint:errorlint // it comes as it is
			return n, err
		}
	}
}

// hostileLine writes a valid request of a million keys.
func hostileLine(w *bufio.Writer, name string) { keysLine(w, name, hostileBytes) }

// keysLine writes a valid request of keys, so many bytes of them.
func keysLine(w *bufio.Writer, name string, bytes int) {
	n, _ := fmt.Fprintf(w, `{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":{"name":%[1]q,"model":"m","messages":[]`, name)
	for i := 0; n < bytes; i++ {
		k, _ := fmt.Fprintf(w, `,"%x":0`, i)
		n += k
	}
	_, _ = w.WriteString("}}\n")
}

func shortLine(w *bufio.Writer, name string) {
	_, _ = fmt.Fprintf(w, `{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":{"name":%[1]q,"model":"m","messages":[]}}`+"\n", name)
}

// diskFiles are files in a folder, so that the process holds none of them.
type diskFiles string

func (d diskFiles) path(key string) string {
	return filepath.Join(string(d), strings.ReplaceAll(key, "/", "+"))
}

// fill writes a tenant's input file.
func (d diskFiles) fill(tenant string, lines int, one func(w *bufio.Writer, name string)) error {
	f, err := os.Create(d.path(batch.FileKey(tenant, "file-"+tenant)))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for line := 1; line <= lines; line++ {
		one(w, fmt.Sprintf("%s-%d", tenant, line))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func (d diskFiles) Read(_ context.Context, key string, offset, length int64) ([]byte, error) {
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	body := make([]byte, length)
	_, err = f.ReadAt(body, offset)
	return body, err
}

func (d diskFiles) Put(_ context.Context, key string, body []byte) error {
	return os.WriteFile(d.path(key), body, 0o600)
}

// calls are an upstream that counts.
type calls struct {
	mu sync.Mutex
	by map[string]int // by the body's name
}

func (c *calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := make([]byte, 64)
	_, _ = io.ReadFull(r.Body, head)
	n, _ := io.Copy(io.Discard, r.Body)
	name, _, _ := bytes.Cut(bytes.TrimPrefix(head, []byte(`{"name":"`)), []byte(`"`))
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ContentLength > 64 && n+64 != r.ContentLength {
		c.by["cut off"]++ // whoever sent it died, and sends it again
		return
	}
	c.by[string(name)]++
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"model":"m","choices":[]}`))
}

type noMetrics struct{}

func (noMetrics) Count(string, int, ...string) {}
