package submit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// newRetry returns the bench of a retry of a batch that has ended and of whose
// requests those that done names were completed, together with the text that
// the retry's input file must have.
func newRetry(t *testing.T, texts []string, done func(line int) bool) (bn *bench, want string) {
	t.Helper()
	bn = newBench(t, strings.Join(texts, "\n\n")+"\r\n") // the end of a line is not part of it
	old := bn.load(t, submit.LoadConfig{Group: 3})
	counts := batch.Counts{Total: len(texts)}
	for _, rec := range bn.requests(t) {
		pending, err := state.As[state.Pending](rec)
		if err != nil {
			t.Fatal(err)
		}
		line := rec.Spec.Key.Line
		c, err := state.Expire(pending, loadStart).Change()
		switch {
		case done(line):
			c = completed(t, pending)
		case line%2 == 0:
			c, err = state.Cancel(pending, loadStart).Change()
		}
		if err = errors.Join(err, bn.store.Apply(t.Context(), c)); err != nil {
			t.Fatal(err)
		}
		counts = counts.Add(c.To())
		if !done(line) {
			want += texts[line-1] + "\n"
		}
	}
	_, err := bn.store.UpdateBatch(t.Context(), old.Ref, func(b *batch.Batch) error {
		if err := b.Seal(counts, loadStart); err != nil {
			return err
		}
		return b.End(loadStart)
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bn.store.UpdateQuota(t.Context(), "acme", func(u *tenant.Quota) error {
		u.CountedAt = loadStart
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bn.record = batch.Batch{
		Ref: batch.Ref{Tenant: "acme", ID: "batch_2"}, Endpoint: endpoint, InputFileID: batch.RetryFileID("batch_2"),
		RetryOf: old.ID, Gather: batch.Gather{From: "file-in"}, Status: batch.StatusValidating,
		CreatedAt: loadStart, Deadline: loadStart.Add(time.Hour),
	}
	return bn, want
}

func completed(t *testing.T, r state.Request[state.Pending]) state.Change {
	t.Helper()
	claimed, err := state.Claim(r, state.Lease{ClaimID: "c", Worker: "w", Expires: loadStart.Add(time.Hour)}, loadStart)
	if err != nil {
		t.Fatal(err)
	}
	started, err := state.Start(claimed, loadStart)
	if err != nil {
		t.Fatal(err)
	}
	c, err := state.Complete(started, state.Result{StatusCode: 200}, loadStart).Change()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// text returns the content of the retry's input file.
func (b *bench) text(tb testing.TB) string {
	tb.Helper()
	body, err := b.files.Open(tb.Context(), batch.FileKey("acme", b.record.InputFileID), 0)
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

// checkRetry checks a loaded retry: its file, its requests, and the pins.
func (b *bench) checkRetry(t *testing.T, texts []string, done func(line int) bool, want string) {
	t.Helper()
	if got := b.text(t); got != want {
		t.Fatalf("the file has %d bytes, want %d", len(got), len(want))
	}
	f, err := b.store.File(t.Context(), "acme", b.record.InputFileID)
	if err != nil || f.Bytes != int64(len(want)) || f.Purpose != batch.PurposeBatch ||
		!slices.Equal(f.PinnedBy, []string{"batch_2"}) || !f.ExpiresAt.After(b.record.Deadline) {
		t.Errorf("the file is %+v, %v", f, err)
	}
	u, err := b.store.UpdateQuota(t.Context(), "acme", func(*tenant.Quota) error { return nil })
	if err != nil || u.Stored() != int64(len(want)) {
		t.Errorf("the file counts %d bytes, want %d (%v)", u.Stored(), len(want), err)
	}
	if users := b.users(t); slices.Contains(users, "batch_2") {
		t.Errorf("the other batch's file is pinned by %v", users)
	}
	var wantIDs, gotIDs []string
	for i := range texts {
		if !done(i + 1) {
			wantIDs = append(wantIDs, fmt.Sprintf("id-%d", i+1))
		}
	}
	for _, rec := range b.requests(t) {
		gotIDs = append(gotIDs, rec.Spec.CustomID)
	}
	if diff := cmp.Diff(wantIDs, gotIDs); diff != "" {
		t.Error(diff)
	}
	if got := b.stored(t); got.Status != batch.StatusInProgress || got.Counts.Total != len(wantIDs) || got.RetryOf != "batch_1" {
		t.Errorf("batch is %+v", got)
	}
}

func texts(n int, filler string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.Replace(requestLine(fmt.Sprintf("id-%d", i+1)), "[]", fmt.Sprintf("[%q]", filler), 1)
	}
	return out
}

func (b *bench) pin(t *testing.T) {
	t.Helper()
	_, err := b.store.UpdateFile(t.Context(), "acme", "file-in", func(f *batch.File) error {
		f.Pin("batch_2")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRetryTakesWhatWasNotCompleted(t *testing.T) {
	t.Parallel()
	for name, done := range map[string]func(int) bool{
		"none":      func(int) bool { return false },
		"the first": func(line int) bool { return line == 1 },
		"the last":  func(line int) bool { return line == 40 },
		"most":      func(line int) bool { return line%13 != 0 },
		"but one":   func(line int) bool { return line != 20 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := texts(40, "é")
			bn, want := newRetry(t, all, done)
			bn.pin(t)
			bn.load(t, submit.LoadConfig{Group: 7})
			bn.checkRetry(t, all, done, want)
		})
	}
}

// TestRetryDrawn draws which requests were completed, and how long lines are.
func TestRetryDrawn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		completed := rapid.SliceOfN(rapid.Bool(), 1, 20).Draw(rt, "completed")
		if !slices.Contains(completed, false) {
			completed[0] = false
		}
		filler := strings.Repeat("x", rapid.SampledFrom([]int{0, 10, 3_000}).Draw(rt, "filler"))
		all, done := texts(len(completed), filler), func(line int) bool { return completed[line-1] }
		bn, want := newRetry(t, all, done)
		bn.load(t, submit.LoadConfig{})
		bn.checkRetry(t, all, done, want)
	})
}

// dying is everything that a Loader writes to; it fails once, at its at-th
// call, before or after the call took effect.
type dying struct {
	crashing
	source  *memstore.Store
	files   *memstore.Files
	uploads int
}

func (d *dying) load(t *testing.T, bn *bench, config submit.LoadConfig) error {
	t.Helper()
	for range 100 {
		loader := submit.NewLoader(submit.LoadDeps{
			Store: d, Source: d, Inputs: d, Clock: bn.clock, Log: slog.New(slog.DiscardHandler),
		}, config)
		next, err := loader.Load(t.Context(), submit.Task{Ref: bn.record.Ref, Record: &bn.record})
		if err != nil || next == submit.NextAdvance {
			return err
		}
	}
	return errors.New("the load does not end")
}

func (d *dying) Requests(ctx context.Context, id string, shards, after int) iter.Seq2[state.Record, error] {
	return d.source.Requests(ctx, id, shards, after)
}

func (d *dying) CreateFile(ctx context.Context, f batch.File) error {
	return d.do(func() error { return d.source.CreateFile(ctx, f) })
}

func (d *dying) Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	return d.files.Open(ctx, key, offset)
}

func (d *dying) Put(ctx context.Context, key string, body []byte) error {
	return d.do(func() error { return d.files.Put(ctx, key, body) })
}

func (d *dying) PutNew(ctx context.Context, key string, body []byte) error {
	return d.do(func() error { return d.files.PutNew(ctx, key, body) })
}

// The parts may be small here, so that a test can have many of them: they are
// objects until they are joined.
func (d *dying) StartParts(context.Context, string) (id string, err error) {
	err = d.do(func() error {
		d.uploads++
		id = fmt.Sprintf("upload-%d", d.uploads)
		return nil
	})
	return id, err
}

func (d *dying) PutPart(ctx context.Context, _, id string, n int, body []byte) (tag string, err error) {
	tag = fmt.Sprintf("parts/%s/%d", id, n)
	err = d.do(func() error { return d.files.Put(ctx, tag, body) })
	return tag, err
}

func (d *dying) AbortParts(context.Context, string, string) error {
	return errors.New("no upload is the second one")
}

func (d *dying) FinishParts(ctx context.Context, key, id string, tags []string) error {
	return d.do(func() error {
		var whole []byte
		for i, tag := range tags {
			if tag != fmt.Sprintf("parts/%s/%d", id, i+1) {
				return fmt.Errorf("part %d of %s is %s", i+1, id, tag)
			}
			size, err := d.files.Size(ctx, tag)
			if err != nil {
				return err
			}
			part, err := d.files.Read(ctx, tag, 0, size)
			if err != nil {
				return err
			}
			whole = append(whole, part...)
		}
		return d.files.PutNew(ctx, key, whole)
	})
}

// TestRetryCrashes dies before and after each write of the load of a retry, of
// one part and of several.
func TestRetryCrashes(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]int{"one piece": 1 << 20, "three parts": 500, "a part each": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, done := texts(8, "é"), func(line int) bool { return line == 3 || line == 8 }
			config := submit.LoadConfig{Part: part}
			for at := 1; at < 100; at++ {
				crashed := false
				for _, after := range []bool{false, true} {
					bn, want := newRetry(t, all, done)
					bn.pin(t)
					d := &dying{crashing{LoadStore: bn.store, at: at, after: after}, bn.store, bn.files, 0}
					err := d.load(t, bn, config)
					crashed = crashed || errors.Is(err, errCrash)
					if err != nil && !errors.Is(err, errCrash) {
						t.Fatalf("crash %d, after %t: %v", at, after, err)
					}
					d.at = 0
					if err := d.load(t, bn, config); err != nil {
						t.Fatalf("load after crash %d, after %t: %v", at, after, err)
					}
					bn.checkRetry(t, all, done, want)
				}
				if !crashed {
					if at < 8 {
						t.Errorf("a load makes %d calls only", at)
					}
					return
				}
			}
		})
	}
}

// TestRetryOfWhatIsGone has the other batch, its file, or some of its requests
// gone: the retry fails and says so.
func TestRetryOfWhatIsGone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*bench) error{
		"batch": func(bn *bench) error {
			bn.record.RetryOf = "batch_0"
			return nil
		},
		"file": func(bn *bench) error {
			return bn.files.Delete(context.Background(), batch.FileKey("acme", "file-in"))
		},
		"requests": func(bn *bench) error {
			_, err := bn.store.UpdateBatch(context.Background(), batch.Ref{Tenant: "acme", ID: "batch_1"},
				func(b *batch.Batch) error {
					b.Counts.Total++
					return nil
				})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bn, _ := newRetry(t, texts(3, ""), func(line int) bool { return line == 1 })
			bn.pin(t)
			if err := spoil(bn); err != nil {
				t.Fatal(err)
			}
			got := bn.load(t, submit.LoadConfig{})
			if got.Status != batch.StatusFailed || len(got.Errors) != 1 || got.Errors[0].Param != "retry_of" {
				t.Errorf("batch is %+v", got)
			}
			if users := bn.users(t); slices.Contains(users, "batch_2") {
				t.Errorf("the other batch's file is pinned by %v", users)
			}
		})
	}
}

// TestRetryMindsItsTime gives each invocation time for one part: the next goes
// on behind it, and one that gets nowhere says so.
func TestRetryMindsItsTime(t *testing.T) {
	t.Parallel()
	all, done := texts(3, strings.Repeat("x", 5<<20)), func(line int) bool { return line == 2 }
	bn, want := newRetry(t, all, done)
	now := time.Now()
	bn.clock = func() time.Time { return now }
	bn.record.Deadline = now.Add(100 * time.Hour)
	slow := &slowParts{Files: bn.files, after: func() { now = now.Add(30 * time.Minute) }}
	config := submit.LoadConfig{Part: 5 << 20, Margin: time.Minute}
	runs := 0
	for next := submit.NextLoad; next == submit.NextLoad; runs++ {
		ctx, cancel := context.WithDeadline(t.Context(), now.Add(40*time.Minute)) // two parts, no more
		loader := submit.NewLoader(submit.LoadDeps{
			Store: bn.store, Source: bn.store, Inputs: slow, Clock: bn.clock, Log: slog.New(slog.DiscardHandler),
		}, config)
		var err error
		if next, err = loader.Load(ctx, submit.Task{Ref: bn.record.Ref, Record: &bn.record}); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	if runs < 2 {
		t.Errorf("%d runs", runs)
	}
	if got := bn.text(t); got != want || len(bn.requests(t)) != 2 {
		t.Errorf("the file has %d bytes, want %d; %d requests", len(got), len(want), len(bn.requests(t)))
	}
}

// TestRetryWithoutTimeSaysSo: no load repeats itself for ever.
func TestRetryWithoutTimeSaysSo(t *testing.T) {
	t.Parallel()
	bn, _ := newRetry(t, texts(3, ""), func(int) bool { return false })
	now := time.Now()
	bn.clock, bn.record.Deadline = func() time.Time { return now }, now.Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), now.Add(time.Minute))
	defer cancel()
	loader := bn.loader(bn.store, submit.LoadConfig{Margin: 2 * time.Minute})
	if _, err := loader.Load(ctx, submit.Task{Ref: bn.record.Ref, Record: &bn.record}); !errors.Is(err, submit.ErrSlow) {
		t.Errorf("error is %v", err)
	}
}

type slowParts struct {
	*memstore.Files
	after func()
}

func (s *slowParts) PutPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	defer s.after()
	return s.Files.PutPart(ctx, key, id, n, body)
}

// TestRetryStops cancels a retry while its file is being made: it is sealed with
// no requests.
func TestRetryStops(t *testing.T) {
	t.Parallel()
	bn, _ := newRetry(t, texts(3, ""), func(int) bool { return false })
	if err := bn.store.CreateBatch(t.Context(), bn.record); err != nil {
		t.Fatal(err)
	}
	if _, err := bn.store.UpdateBatch(t.Context(), bn.record.Ref, func(b *batch.Batch) error {
		return b.Cancel(loadStart)
	}); err != nil {
		t.Fatal(err)
	}
	got := bn.load(t, submit.LoadConfig{})
	if !got.Sealed || got.Load.Validated || got.Gather.File.Done || got.Counts != (batch.Counts{}) {
		t.Errorf("batch is %+v", got)
	}
}
