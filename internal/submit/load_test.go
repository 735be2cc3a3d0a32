package submit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

const endpoint = "/v1/chat/completions"

var loadStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A bench is one batch, its input file, and what it is stored in.
type bench struct {
	store  *memstore.Store
	files  *memstore.Files
	record batch.Batch
	clock  func() time.Time
}

func newBench(tb testing.TB, input string) *bench {
	tb.Helper()
	b := &bench{
		store: memstore.NewStore(), files: memstore.NewFiles(),
		clock: func() time.Time { return loadStart },
		record: batch.Batch{
			Ref: batch.Ref{Tenant: "acme", ID: "batch_1"}, Endpoint: endpoint, InputFileID: "file-in",
			Status: batch.StatusValidating, CreatedAt: loadStart, Deadline: loadStart.Add(time.Hour),
		},
	}
	b.put(tb, input)
	_, err := b.store.UpdateQuota(tb.Context(), "acme", func(u *tenant.Quota) error {
		u.Batches = map[string]int{"batch_1": 1000, "other": 9}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// unfinished returns what counts as the tenant's unfinished requests, by batch.
func (b *bench) unfinished(tb testing.TB) map[string]int {
	tb.Helper()
	u, err := b.store.UpdateQuota(tb.Context(), "acme", func(*tenant.Quota) error { return nil })
	if err != nil {
		tb.Fatal(err)
	}
	return u.Batches
}

func (b *bench) put(tb testing.TB, input string) {
	tb.Helper()
	file := batch.File{
		Tenant: "acme", ID: "file-in", Purpose: batch.PurposeBatch, Bytes: int64(len(input)), PinnedBy: []string{"batch_1", "batch_2"},
	}
	if err := b.store.CreateFile(tb.Context(), file); err != nil {
		tb.Fatal(err)
	}
	if err := b.files.Put(tb.Context(), file.ObjectKey(), []byte(input)); err != nil {
		tb.Fatal(err)
	}
}

func (b *bench) loaderOf(inputs submit.InputStore) *submit.Loader {
	return submit.NewLoader(submit.LoadDeps{
		Store: b.store, Source: b.store, Inputs: inputs, Clock: b.clock, Log: slog.New(slog.DiscardHandler),
	}, submit.LoadConfig{})
}

func (b *bench) loader(store submit.LoadStore, config submit.LoadConfig) *submit.Loader {
	return submit.NewLoader(submit.LoadDeps{
		Store: store, Source: b.store, Inputs: b.files, Clock: b.clock, Log: slog.New(slog.DiscardHandler),
	}, config)
}

// load runs the load step as the flow does, until it says what comes next.
func (b *bench) load(tb testing.TB, config submit.LoadConfig) batch.Batch {
	tb.Helper()
	for range 100 {
		next, err := b.loader(b.store, config).Load(tb.Context(), submit.Task{Ref: b.record.Ref, Record: &b.record})
		if err != nil {
			tb.Fatal(err)
		}
		if next == submit.NextAdvance {
			return b.stored(tb)
		}
	}
	tb.Fatal("the load does not end")
	return batch.Batch{}
}

func (b *bench) stored(tb testing.TB) batch.Batch {
	tb.Helper()
	got, err := b.store.Batch(tb.Context(), b.record.Ref)
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

func (b *bench) requests(tb testing.TB) []state.Record {
	tb.Helper()
	var all []state.Record
	for rec, err := range b.store.Requests(tb.Context(), b.record.ID, b.stored(tb).Shards, 0) {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, rec)
	}
	return all
}

func (b *bench) users(tb testing.TB) []string {
	tb.Helper()
	f, err := b.store.File(tb.Context(), "acme", "file-in")
	if err != nil {
		tb.Fatal(err)
	}
	return f.PinnedBy
}

func requestLine(id string) string {
	return fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":%q,"body":{"model":"m","messages":[]}}`, id, endpoint)
}

func lines(n int) string {
	var sb strings.Builder
	for i := range n {
		sb.WriteString(requestLine(fmt.Sprintf("id-%d", i+1)) + "\n")
	}
	return sb.String()
}

func TestLoadGoodFiles(t *testing.T) {
	t.Parallel()
	a, b := requestLine("a"), requestLine("ü😀")
	long := strings.Replace(requestLine("long"), "[]", `["`+strings.Repeat("x", 600<<10)+`"]`, 1)
	longest := requestLine("longest")
	longest = strings.Replace(longest, ",", strings.Repeat(" ", 1<<20-len(longest))+",", 1)
	for name, input := range map[string]string{
		"plain":                 a + "\n" + b + "\n",
		"no newline at the end": a + "\n" + b,
		"CRLF":                  a + "\r\n" + b + "\r\n",
		"byte order mark":       "\uFEFF" + a + "\n" + b + "\n",
		"mark and CRLF":         "\uFEFF" + a + "\r\n" + b,
		"blank lines":           "\n\n" + a + "\n \t\r\n\n" + b + "\n\n\n",
		"spaces around":         "  " + a + "  \n\t" + b + "\n",
		"lines beyond a buffer": a + "\n" + long + "\n" + b + "\n",
		"the longest line":      a + "\r\n" + longest,
		"Azure's urls":          strings.Replace(a, "/v1/", "/", 1) + "\n" + b + "\n",
		"one":                   a,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bn := newBench(t, input)
			got := bn.load(t, submit.LoadConfig{Group: 1, MaxLineBytes: 1 << 20})
			var want []string
			for l := range strings.Lines(strings.TrimPrefix(input, "\uFEFF")) {
				if strings.TrimSpace(l) != "" {
					want = append(want, strings.TrimRight(l, "\r\n"))
				}
			}
			if got.Status != batch.StatusInProgress || got.Counts.Total != len(want) || !got.InProgressAt.Equal(loadStart) {
				t.Fatalf("batch is %+v", got)
			}
			for i, rec := range bn.requests(t) {
				span := rec.Spec.Body
				if rec.Spec.Key != got.Key(i+1) || rec.Phase != (state.Pending{}) || !rec.Spec.Deadline.Equal(got.Deadline) {
					t.Errorf("request %d is %+v", i+1, rec)
				}
				if input[span.Offset:span.Offset+span.Length] != want[i] {
					t.Errorf("request %d lies at %+v", i+1, span)
				}
				in, err := batch.ParseInput([]byte(want[i]), endpoint)
				if err != nil || in.CustomID != rec.Spec.CustomID {
					t.Errorf("request %d is %q, want %q, %v", i+1, rec.Spec.CustomID, in.CustomID, err)
				}
			}
			if diff := cmp.Diff([]string{"batch_1", "batch_2"}, bn.users(t)); diff != "" {
				t.Errorf("the input file's users: %s", diff)
			}
			if r, err := bn.store.Running(t.Context(), got.ID); err != nil || r != batch.RunningOf(got) {
				t.Errorf("its entry among what runs is %v, %v", r, err)
			}
		})
	}
}

func TestLoadBadFiles(t *testing.T) {
	t.Parallel()
	a := requestLine("a")
	type bad struct {
		Code  string
		Line  int
		Param string
	}
	for name, tt := range map[string]struct {
		input string
		want  []bad
	}{
		"empty":         {"", []bad{{batch.CodeEmptyFile, 0, ""}}},
		"a mark only":   {"\uFEFF", []bad{{batch.CodeEmptyFile, 0, ""}}},
		"blank only":    {"\n \r\n\n", []bad{{batch.CodeEmptyFile, 0, ""}}},
		"broken JSON":   {a + "\n{", []bad{{batch.CodeInvalidJSON, 2, ""}}},
		"no JSON lines": {"\n[]\n\"x\"\nnull", []bad{{batch.CodeInvalidJSON, 2, ""}, {batch.CodeInvalidJSON, 3, ""}, {batch.CodeInvalidJSON, 4, ""}}},
		"UTF-16":        {"\xff\xfe{\x00}\x00", []bad{{batch.CodeInvalidJSON, 1, ""}}},
		"a second mark": {a + "\n\uFEFF" + requestLine("b"), []bad{{batch.CodeInvalidJSON, 2, ""}}},
		"duplicate":     {a + "\n\n" + requestLine("b") + "\n" + a + "\n", []bad{{batch.CodeDuplicateCustomID, 4, "custom_id"}}},
		"no custom_id":  {strings.Replace(a, "custom_id", "id", 1), []bad{{batch.CodeMissingParameter, 1, "custom_id"}}},
		"wrong url":     {strings.Replace(a, "chat/", "", 1), []bad{{batch.CodeInvalidURL, 1, "url"}}},
		"wrong method":  {strings.Replace(a, "POST", "GET", 1), []bad{{batch.CodeInvalidMethod, 1, "method"}}},
		"too long": {
			a + "\n" + strings.Repeat(" ", 1<<20) + "{\r\n" + a,
			[]bad{{batch.CodeLineTooLong, 2, ""}, {batch.CodeDuplicateCustomID, 3, "custom_id"}},
		},
		"ids that are halves of an emoji": {
			requestLine("ok") + "\n" + strings.Replace(a, `"a"`, `"\ud83d"`, 1) + "\n" + strings.Replace(a, `"a"`, `"\ud83e"`, 1),
			[]bad{{batch.CodeInvalidValue, 2, "custom_id"}, {batch.CodeInvalidValue, 3, "custom_id"}},
		},
		"Windows-1252": {a + "\n" + strings.Replace(requestLine("b"), "[]", "[\"caf\xe9\"]", 1), []bad{{batch.CodeInvalidJSON, 2, ""}}},
		"too many":     {lines(11) + "{\n", []bad{{batch.CodeTooManyRequests, 0, ""}}},
		"several, with line numbers of the file": {
			"\r\n" + a + "\n{\n\n" + a + "\n",
			[]bad{{batch.CodeInvalidJSON, 3, ""}, {batch.CodeDuplicateCustomID, 5, "custom_id"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bn := newBench(t, tt.input)
			got := bn.load(t, submit.LoadConfig{MaxRequests: 10, MaxLineBytes: 1 << 20})
			var errs []bad
			for _, e := range got.Errors {
				errs = append(errs, bad{e.Code, e.Line, e.Param})
				if e.Message == "" {
					t.Errorf("no message: %+v", e)
				}
			}
			if diff := cmp.Diff(tt.want, errs); diff != "" {
				t.Errorf("errors: %s", diff)
			}
			if got.Status != batch.StatusFailed || !got.FailedAt.Equal(loadStart) || got.Counts != (batch.Counts{}) {
				t.Errorf("batch is %+v", got)
			}
			if n := len(bn.requests(t)); n > 0 {
				t.Errorf("%d requests were stored", n)
			}
			if diff := cmp.Diff([]string{"batch_2"}, bn.users(t)); diff != "" {
				t.Errorf("the input file's users: %s", diff)
			}
		})
	}
}

// TestLongestLine demands that a deployment that chooses nothing takes lines of 32 MB, with images in them, and that a longer one
// is told the limit and its number.
func TestLongestLine(t *testing.T) {
	t.Parallel()
	image := func(size int) string {
		return strings.Replace(requestLine("image"), "[]", `["data:image/png;base64,`+strings.Repeat("A", size)+`"]`, 1)
	}
	frame := len(image(0))
	if got := newBench(t, image(32<<20-frame)).load(t, submit.LoadConfig{}); got.Status != batch.StatusInProgress {
		t.Errorf("with a line of 32 MB it is %s: %v", got.Status, got.Errors)
	}
	got := newBench(t, requestLine("a")+"\n"+image(32<<20-frame+1)).load(t, submit.LoadConfig{})
	if len(got.Errors) != 1 || got.Errors[0].Code != batch.CodeLineTooLong || got.Errors[0].Line != 2 ||
		!strings.HasPrefix(got.Errors[0].Message, "Line 2 is longer than 33554432 bytes, the most that this deployment takes (maxLineBytes).") {
		t.Errorf("with a longer one it is %s: %+v", got.Status, got.Errors)
	}
}

func TestLoadNamesAtMostMaxErrors(t *testing.T) {
	t.Parallel()
	got := newBench(t, strings.Repeat("{\n", 150)).load(t, submit.LoadConfig{})
	if n := len(got.Errors); n != batch.MaxErrors || got.Errors[n-1].Line != batch.MaxErrors {
		t.Fatalf("%d errors", n)
	}
}

func TestLoadWithoutInputFile(t *testing.T) {
	t.Parallel()
	bn := newBench(t, "")
	bn.record.InputFileID = "file-gone"
	got := bn.load(t, submit.LoadConfig{})
	if got.Status != batch.StatusFailed || got.Errors[0].Code != batch.CodeInvalidRequest || got.Errors[0].Param != "file_id" {
		t.Fatalf("batch is %+v", got)
	}
}

func TestLoadLeavesAnEndedBatchAlone(t *testing.T) {
	t.Parallel()
	bn := newBench(t, lines(3))
	bn.record.Status, bn.record.FailedAt = batch.StatusFailed, loadStart
	if err := bn.store.CreateBatch(t.Context(), bn.record); err != nil {
		t.Fatal(err)
	}
	want := bn.stored(t)
	if diff := cmp.Diff(want, bn.load(t, submit.LoadConfig{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"batch_2"}, bn.users(t)); diff != "" {
		t.Errorf("the input file's users: %s", diff)
	}
	if r, err := bn.store.Running(t.Context(), bn.record.ID); !errors.Is(err, batch.ErrNotFound) {
		t.Errorf("it is entered among what runs: %v, %v", r, err)
	}
}

func TestLoadRefusesAnInputThatChanged(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]string{"shorter": lines(2), "broken": lines(2) + "{\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bn := newBench(t, lines(3))
			store := &spy{LoadStore: bn.store}
			store.updated = func(b batch.Batch) {
				if b.Load.Validated && b.Load.Line == 0 {
					_ = bn.files.Put(t.Context(), batch.FileKey("acme", "file-in"), []byte(after))
				}
			}
			_, err := bn.loader(store, submit.LoadConfig{}).Load(t.Context(), submit.Task{Ref: bn.record.Ref, Record: &bn.record})
			if !errors.Is(err, submit.ErrInput) {
				t.Fatalf("error is %v", err)
			}
		})
	}
}

// TestLoadStopsValidating cancels, or lets the deadline pass, while the file
// is validated: nothing is stored, and the batch is sealed with no requests.
func TestLoadStopsValidating(t *testing.T) {
	t.Parallel()
	for name, during := range map[string]func(context.Context, *bench) error{
		"cancel": func(ctx context.Context, bn *bench) error {
			_, err := bn.store.UpdateBatch(ctx, bn.record.Ref, func(b *batch.Batch) error { return b.Cancel(time.Now()) })
			return err
		},
		"deadline": func(_ context.Context, bn *bench) error {
			time.Sleep(time.Until(bn.record.Deadline))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bn := newBench(t, lines(5))
				bn.clock, bn.record.Deadline = time.Now, time.Now().Add(time.Hour)
				input := slowInput{bn.files, func() {
					time.Sleep(3 * time.Second)
					if err := during(t.Context(), bn); err != nil {
						t.Error(err)
					}
				}}
				loader := submit.NewLoader(submit.LoadDeps{
					Store: bn.store, Source: bn.store, Inputs: input, Clock: time.Now, Log: slog.New(slog.DiscardHandler),
				}, submit.LoadConfig{})
				next, err := loader.Load(t.Context(), submit.Task{Ref: bn.record.Ref, Record: &bn.record})
				if next != submit.NextAdvance || err != nil {
					t.Fatalf("next is %q, %v", next, err)
				}
				got := bn.stored(t)
				if !got.Sealed || got.Load.Validated || got.Counts != (batch.Counts{}) || got.Status != batch.StatusFinalizing {
					t.Fatalf("batch is %+v", got)
				}
				if got.Canceling() != (name == "cancel") {
					t.Errorf("cancelled at %v", got.CancelingAt)
				}
			})
		})
	}
}

// TestLoadStoresAllOfAStoppedBatch stops a batch between two cursors: every
// request is stored, the later ones in their last state.
func TestLoadStoresAllOfAStoppedBatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stop func(*bench) error
		want batch.Counts
		then batch.Status
	}{
		"cancel": {
			func(bn *bench) error {
				_, err := bn.store.UpdateBatch(context.Background(), bn.record.Ref,
					func(b *batch.Batch) error { return b.Cancel(loadStart) })
				return err
			}, batch.Counts{Canceled: 26}, batch.StatusCanceling,
		},
		"deadline": {
			func(bn *bench) error {
				bn.clock = func() time.Time { return bn.record.Deadline }
				return nil
			}, batch.Counts{Expired: 26}, batch.StatusInProgress,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bn := newBench(t, lines(30))
			once := sync.Once{}
			store := &spy{LoadStore: bn.store}
			store.created = func(n int) {
				if n == 4 { // groups of two, so the cursor of four is about to be stored
					once.Do(func() {
						if err := tt.stop(bn); err != nil {
							t.Error(err)
						}
					})
				}
			}
			config := submit.LoadConfig{Group: 2, Cursor: 4}
			loader := submit.NewLoader(submit.LoadDeps{
				Store: store, Source: bn.store, Inputs: bn.files, Clock: func() time.Time { return bn.clock() }, Log: slog.New(slog.DiscardHandler),
			}, config)
			next, err := loader.Load(t.Context(), submit.Task{Ref: bn.record.Ref, Record: &bn.record})
			if next != submit.NextAdvance || err != nil {
				t.Fatalf("next is %q, %v", next, err)
			}
			got, counts := bn.stored(t), batch.Counts{}
			recs := bn.requests(t)
			for _, rec := range recs {
				counts = counts.Add(rec.Phase)
			}
			if len(recs) != 30 || counts != tt.want || got.Status != tt.then || !got.Ready() {
				t.Errorf("%d requests, %+v, batch is %+v", len(recs), counts, got)
			}
		})
	}
}

// TestLoadMindsItsTime gives each invocation a few seconds: it stops in time,
// and the next one goes on where it stopped.
func TestLoadMindsItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bn := newBench(t, lines(100))
		bn.clock, bn.record.Deadline = time.Now, time.Now().Add(time.Hour)
		store := &spy{LoadStore: bn.store, created: func(int) { time.Sleep(time.Second) }}
		loader := bn.loader(store, submit.LoadConfig{Group: 5, Margin: 10 * time.Second})
		runs := 0
		for next := submit.NextLoad; next == submit.NextLoad; runs++ {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			var err error
			if next, err = loader.Load(ctx, submit.Task{Ref: bn.record.Ref, Record: &bn.record}); err != nil {
				t.Fatal(err)
			}
			if end, _ := ctx.Deadline(); time.Until(end) < 9*time.Second {
				t.Errorf("stopped %v before its end", time.Until(end))
			}
			cancel()
		}
		if got := bn.stored(t); runs != 4 || !got.Ready() || store.creates != 20 || len(bn.requests(t)) != 100 {
			t.Errorf("%d runs, %d groups, batch is %+v", runs, store.creates, got)
		}
	})
}

func TestLoadCannotValidateInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bn := newBench(t, lines(3))
		bn.clock, bn.record.Deadline = time.Now, time.Now().Add(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := bn.loader(bn.store, submit.LoadConfig{}).Load(ctx, submit.Task{Ref: bn.record.Ref, Record: &bn.record})
		if !errors.Is(err, submit.ErrSlow) {
			t.Fatalf("error is %v", err)
		}
	})
}

// TestLoadSurvivesCrashes makes each call to the store, one after the other,
// fail before or after it took effect, and repeats the step as the flow does:
// what is stored in the end is always the same.
func TestLoadSurvivesCrashes(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{"good": lines(25), "bad": lines(25) + "{"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := submit.LoadConfig{Group: 3, Cursor: 6}
			clean := newBench(t, input)
			want := clean.load(t, config)
			want.Rev = 0
			for _, after := range []bool{false, true} {
				for at := 1; ; at++ {
					bn := newBench(t, input)
					store := &crashing{LoadStore: bn.store, at: at, after: after}
					loader := bn.loader(store, config)
					next, err := loader.Load(t.Context(), submit.Task{Ref: bn.record.Ref, Record: &bn.record})
					if store.calls < at {
						break // one crash-free run has fewer calls
					}
					if !errors.Is(err, errCrash) {
						t.Fatalf("crash %d, after %t: next is %q, %v", at, after, next, err)
					}
					got := bn.load(t, config)
					got.Rev = 0
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("crash %d, after %t: %s", at, after, diff)
					}
					if diff := cmp.Diff(clean.requests(t), bn.requests(t), records()); diff != "" {
						t.Errorf("crash %d, after %t: %s", at, after, diff)
					}
					if diff := cmp.Diff(clean.users(t), bn.users(t)); diff != "" {
						t.Errorf("crash %d, after %t: %s", at, after, diff)
					}
					if diff := cmp.Diff(clean.unfinished(t), bn.unfinished(t)); diff != "" {
						t.Errorf("crash %d, after %t: %s", at, after, diff)
					}
				}
			}
		})
	}
}

func TestLoadTwiceAtOnce(t *testing.T) {
	t.Parallel()
	bn := newBench(t, lines(200))
	config := submit.LoadConfig{Group: 7, Cursor: 20}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			next, err := bn.loader(bn.store, config).Load(t.Context(), submit.Task{Ref: bn.record.Ref, Record: &bn.record})
			if next != submit.NextAdvance || err != nil {
				t.Errorf("next is %q, %v", next, err)
			}
		})
	}
	wg.Wait()
	if got := bn.stored(t); got.Status != batch.StatusInProgress || len(bn.requests(t)) != 200 {
		t.Errorf("batch is %+v", got)
	}
}

func records() cmp.Option {
	return cmp.Comparer(func(a, b state.Record) bool { return a.Spec == b.Spec && a.Phase == b.Phase })
}

// A spy tells of what a store has done.
type spy struct {
	submit.LoadStore
	creates int
	created func(requests int)
	updated func(b batch.Batch)
	sum     int
}

func (s *spy) Create(ctx context.Context, cs []state.Change) error {
	err := s.LoadStore.Create(ctx, cs)
	s.creates++
	s.sum += len(cs)
	if s.created != nil {
		s.created(s.sum)
	}
	return err
}

func (s *spy) UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error) {
	b, err := s.LoadStore.UpdateBatch(ctx, ref, change)
	if s.updated != nil {
		s.updated(b)
	}
	return b, err
}

// A slowInput does something else before its first byte comes.
type slowInput struct {
	submit.InputStore
	before func()
}

func (s slowInput) Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	s.before()
	return s.InputStore.Open(ctx, key, offset)
}

var errCrash = errors.New("crash")

// A crashing store fails once, at its at-th call, before or after the call
// took effect.
type crashing struct {
	submit.LoadStore
	at, calls int
	after     bool
}

func (c *crashing) do(call func() error) error {
	c.calls++
	if c.calls == c.at && !c.after {
		return errCrash
	}
	err := call()
	if c.calls == c.at {
		return errCrash
	}
	return err
}

func (c *crashing) CreateBatch(ctx context.Context, b batch.Batch) error {
	return c.do(func() error { return c.LoadStore.CreateBatch(ctx, b) })
}

func (c *crashing) CreateRunning(ctx context.Context, r batch.Running) error {
	return c.do(func() error { return c.LoadStore.CreateRunning(ctx, r) })
}

func (c *crashing) Batch(ctx context.Context, ref batch.Ref) (b batch.Batch, err error) {
	err = c.do(func() error { b, err = c.LoadStore.Batch(ctx, ref); return err })
	return b, err
}

func (c *crashing) UpdateBatch(
	ctx context.Context, ref batch.Ref, change func(*batch.Batch) error,
) (b batch.Batch, err error) {
	err = c.do(func() error { b, err = c.LoadStore.UpdateBatch(ctx, ref, change); return err })
	return b, err
}

func (c *crashing) Create(ctx context.Context, cs []state.Change) error {
	return c.do(func() error { return c.LoadStore.Create(ctx, cs) })
}

func (c *crashing) UpdateQuota(
	ctx context.Context, tenantName string, change func(*tenant.Quota) error,
) (u tenant.Quota, err error) {
	err = c.do(func() error { u, err = c.LoadStore.UpdateQuota(ctx, tenantName, change); return err })
	return u, err
}

func (c *crashing) UpdateFile(
	ctx context.Context, tenant, id string, change func(*batch.File) error,
) (f batch.File, err error) {
	err = c.do(func() error { f, err = c.LoadStore.UpdateFile(ctx, tenant, id, change); return err })
	return f, err
}
