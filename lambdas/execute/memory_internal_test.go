//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
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

	hostileBytes   = 9_800_000
	neighbourLines = 3
	answerBytes    = 10_000_000

	envTenants = "MUSKETRY_TEST_MEMORY_TENANTS" // whose batches the limited process runs; empty: it is not this one
	envURL     = "MUSKETRY_TEST_MEMORY_URL"     // the upstream's
	envCA      = "MUSKETRY_TEST_MEMORY_CA"      // whose certificate it has
	envFiles   = "MUSKETRY_TEST_MEMORY_FILES"
	envLarge   = "MUSKETRY_TEST_MEMORY_ANSWERS" // how many answers of 10 MB come at once: 60 by default, as make memory has it 250
)

// TestHostileLinesKillNobody has one event with an attacker's batch, valid
// lines of a million keys each, and three requests of a neighbour.
func TestHostileLinesKillNobody(t *testing.T) { //nolint:paralleltest // the machine's memory is for one
	survive(t, map[string]tenantLines{
		"attacker": {hostileLines, hostileLine}, "neighbour": {neighbourLines, shortLine},
	})
}

// TestLargeAnswersKillNobody has the same, and beside it calls whose answers of
// 10 MB come all at once.
func TestLargeAnswersKillNobody(t *testing.T) { //nolint:paralleltest // the machine's memory is for one
	large, err := strconv.Atoi(cmp.Or(os.Getenv(envLarge), strconv.Itoa(largeAnswers)))
	must(t, err)
	survive(t, map[string]tenantLines{
		"attacker": {hostileLines, hostileLine}, "neighbour": {neighbourLines, shortLine}, "large": {large, shortLine},
	})
}

type tenantLines struct {
	lines int
	one   func(w *bufio.Writer, name string)
}

// survive runs tenants' lines as one event in a process with the function's
// memory, against an upstream that speaks TLS and HTTP/2: each must be called
// once and have its outcome. The system kills a process that takes more data, and
// its own account of what was resident must agree.
func survive(t *testing.T, tenants map[string]tenantLines) {
	t.Helper()
	if url := os.Getenv(envURL); url != "" {
		limited(t, url, diskFiles(os.Getenv(envFiles)))
		return
	}
	dir, want := diskFiles(t.TempDir()), 0
	for tenant, of := range tenants {
		must(t, dir.fill(tenant, of.lines, of.one))
		want += of.lines
	}
	calls := &calls{by: map[string]int{}, large: tenants["large"].lines, all: make(chan struct{})}
	s := httptest.NewUnstartedServer(calls)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v") //nolint:gosec // this very test
	child.Env = append(os.Environ(), envURL+"="+s.URL, envFiles+"="+string(dir),
		envCA+"="+string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
		envTenants+"="+strings.Join(slices.Sorted(maps.Keys(tenants)), ","),
		"AWS_REGION=eu-central-1", fmt.Sprintf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", functionMemory>>20))
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("the process died: %v: %.3000s", err, out)
	}
	peak := peakOf(t, out)
	t.Logf("the process had up to %d MiB", peak>>20)
	if peak > raceTimes*functionMemory {
		t.Errorf("the process had up to %d bytes, want at most %d", peak, raceTimes*functionMemory)
	}
	calls.check(t, want)
}

// peakOf returns what a process says of its peak, in bytes.
func peakOf(t *testing.T, out []byte) int64 {
	t.Helper()
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("it does not say: %.3000s", out)
	}
	peak, err := strconv.ParseInt(string(found[1]), 10, 64)
	must(t, err)
	return peak << 10
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
			worker, event := prepare(t, calling(upstream.Config{}, s.URL), execute.Config{}, dir, "attacker")
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
	if raceTimes == 1 {
		must(t, syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: functionMemory, Max: functionMemory}))
	}
	kit, err := boot.Start(t.Context(), io.Discard, time.Now) // which limits the memory
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(os.Getenv(envCA)))
	caller := calling(upstream.Config{RootCAs: roots}, url)
	worker, event := prepare(t, caller, execute.Config{Places: 900, Memory: kit.Memory}, files, strings.Split(os.Getenv(envTenants), ",")...)
	if left := worker.Run(t.Context(), event); len(left) > 0 {
		t.Errorf("%d of %d messages stay", len(left), len(event))
	}
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	t.Logf("%s", status)
}

// prepare returns a worker and an event with all requests of tenants.
func prepare(
	t *testing.T, caller *routed, cfg execute.Config, files diskFiles, tenants ...string,
) (*execute.Worker, []batch.Delivery) {
	t.Helper()
	store, queue := memstore.NewStore(), memstore.NewQueue(time.Now, time.Hour)
	for _, tenant := range tenants {
		load(t, store, queue, files, tenant)
	}
	worker := execute.New(execute.Deps{
		Requests: store, Workers: store, Limits: store, Batches: store, Files: files, Queue: queue, Flow: memstore.NewFlow(),
		Caller: caller, Metrics: noMetrics{}, Log: slog.New(slog.DiscardHandler),
		Clock: time.Now, Uniform: func() float64 { return 0.5 }, NewID: rand.Text,
		Models: route.NewTable(route.DefaultModel(caller.route.BaseURL, true)).Now,
	}, cfg)
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

// calls are an upstream that counts. The answers to calls of the tenant large
// have 10 MB, and begin once all have come.
type calls struct {
	large int
	all   chan struct{}

	mu  sync.Mutex
	now int            // of large
	by  map[string]int // by the body's name
}

func (c *calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := make([]byte, 64)
	_, _ = io.ReadFull(r.Body, head)
	n, _ := io.Copy(io.Discard, r.Body)
	name, _, _ := bytes.Cut(bytes.TrimPrefix(head, []byte(`{"name":"`)), []byte(`"`))
	if r.ContentLength > 64 && n+64 != r.ContentLength {
		name = []byte("cut off") // whoever sent it died, and sends it again
	}
	large := bytes.HasPrefix(name, []byte("large-"))
	c.count(string(name), large)
	w.Header().Set("Content-Type", "application/json")
	if !large {
		_, _ = w.Write([]byte(`{"model":"m","choices":[{"message":{"content":"a"}}]}`))
		return
	}
	select {
	case <-c.all:
	case <-r.Context().Done():
		return
	}
	_, _ = w.Write([]byte(`{"model":"m","choices":[{"message":{"content":"`))
	text := bytes.Repeat([]byte("four"), 8<<10)
	for n := len(text); n < answerBytes; n += len(text) {
		_, _ = w.Write(text)
	}
	_, _ = w.Write([]byte(`"}}]}`))
}

func (c *calls) count(name string, large bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[name]++
	if large {
		if c.now++; c.now == c.large {
			close(c.all)
		}
	}
}

// check demands that so many requests were called, each once.
func (c *calls) check(t *testing.T, want int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range c.by {
		if n != 1 {
			t.Errorf("%s was called %d times, want once", name, n)
		}
	}
	if len(c.by) != want {
		t.Errorf("%d requests were called, want %d", len(c.by), want)
	}
}

type noMetrics struct{}

func (noMetrics) Count(string, int, ...string)       {}
func (noMetrics) Observe(string, float64, ...string) {}
