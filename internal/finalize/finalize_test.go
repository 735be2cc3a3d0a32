package finalize_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/multipart"
	"github.com/musketry/musketry/internal/state"
)

// partly is the size of answers of which two fill a part.
const partly = 2_700_000

func TestAdvanceToTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 50, 10)
		if next := w.advance(); next != finalize.NextLong {
			t.Fatalf("after enqueueing, next is %q", next)
		}
		if n := w.queue.Len(); n != 50 || w.batch().Enqueued != 50 {
			t.Fatalf("%d messages, %d enqueued", n, w.batch().Enqueued)
		}
		w.work()
		if next := w.advance(); next != finalize.NextEnd {
			t.Fatalf("next is %q", next)
		}
		output, errs := w.want()
		w.check(batch.StatusCompleted, output, errs)
		if again := w.advance(); again != finalize.NextEnd {
			t.Errorf("of an ended batch, next is %q", again)
		}
	})
}

func TestAdvanceWritesNoEmptyFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10) // both are answered
		w.advance()
		w.work()
		w.advance()
		output, _ := w.want()
		w.check(batch.StatusCompleted, output, nil)
	})
}

func TestAdvanceOfUnloaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, 10)
		w.update(func(b *batch.Batch) error { b.Load.Line = 2; return nil })
		if _, err := w.finalizer(nil).Advance(t.Context(), w.ref); !errors.Is(err, finalize.ErrNotLoaded) {
			t.Errorf("error is %v", err)
		}
		ref := batch.Ref{Tenant: "other", ID: w.ref.ID}
		if _, err := w.finalizer(nil).Advance(t.Context(), ref); !errors.Is(err, batch.ErrNotFound) {
			t.Errorf("error is %v", err)
		}
	})
}

// TestEmptyBatch ends a batch that was stopped while it was validated.
func TestEmptyBatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status batch.Status
		stop   func(*batch.Batch) error
	}{
		{batch.StatusCanceled, func(b *batch.Batch) error { return b.Cancel(time.Now()) }},
		{batch.StatusExpired, func(*batch.Batch) error { return nil }},
	} {
		t.Run(string(tt.status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 0, 0)
				w.update(func(b *batch.Batch) error {
					b.Status, b.Load = batch.StatusValidating, batch.LoadCursor{}
					if err := tt.stop(b); err != nil {
						return err
					}
					return b.Seal(batch.Counts{}, time.Now())
				})
				if next := w.advance(); next != finalize.NextEnd {
					t.Fatalf("next is %q", next)
				}
				w.check(tt.status, nil, nil)
			})
		})
	}
}

// TestEnqueueAtLowWater enqueues a batch a few requests at a time as they are done.
func TestEnqueueAtLowWater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 25, 10)
		f := w.finalizer(nil)
		f.Config.MaxEnqueued = 10
		parks := []finalize.Next{finalize.NextLong, finalize.NextLong, finalize.NextMedium} // the last 5 are looked for
		for i, enqueued := range []int{10, 20, 25} {
			next, err := f.Advance(t.Context(), w.ref)
			if next != parks[i] || err != nil {
				t.Fatalf("round %d: next is %q, %v", i, next, err)
			}
			if got := w.batch().Enqueued; got != enqueued || w.queue.Len() != min(10, 25-10*i) {
				t.Fatalf("round %d: %d enqueued, %d messages", i, got, w.queue.Len())
			}
			w.must(f.Park(t.Context(), w.ref, fmt.Sprint("token", i)))
			w.work()
		}
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
			t.Fatalf("next is %q, %v", next, err)
		}
		output, errs := w.want()
		w.check(batch.StatusCompleted, output, errs)
	})
}

// A stop is a way in which a batch ends with requests undone.
type stop struct {
	status batch.Status
	stop   func(w *world)
	line   func(k state.Key, called bool) []byte // what a request that is undone gets, of which a call is in flight or not
}

func stops() []stop {
	id := func(k state.Key) string { return fmt.Sprintf("id-%d", k.Line) }
	return []stop{{
		batch.StatusCanceled,
		func(w *world) { w.cancel() },
		func(k state.Key, called bool) []byte {
			p := state.Canceled{}
			if called {
				p.StartedAt = time.Unix(1, 0)
			}
			return batch.AppendCanceled(nil, k, id(k), p, true)
		},
	}, {
		batch.StatusExpired,
		func(w *world) { time.Sleep(time.Until(w.batch().Deadline)) },
		func(k state.Key, called bool) []byte {
			return batch.AppendFailure(nil, k, id(k), batch.Failing{Reason: state.Expired{Called: called}})
		},
	}}
}

// TestStop cancels a batch, or lets its deadline pass, with some requests done
// and one in flight, whose late answer still counts within the grace.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, tt := range stops() {
		t.Run(string(tt.status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 20, 10)
				w.advance()
				done := w.call("w1", 1, 2, 3, 4, 6)
				w.count("w1", done...)
				late := newLate(w, 9)
				never := newLate(w, 12)
				f := w.finalizer(nil)
				walks := &walks{port: f.Requests}
				f.Requests = walks
				tt.stop(w)
				stopped := time.Now()
				go func() {
					time.Sleep(3 * time.Second)
					b := w.batch()
					if rec, err := w.store.Request(t.Context(), b.Key(13)); err != nil || !rec.Phase.Status().Terminal() {
						t.Errorf("3 s later what nobody holds is %+v: %v", rec.Phase, err)
					}
					w.must(late.finish())
					w.beat("w2", w.ref.ID)
				}()
				if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
					t.Fatalf("next is %q: %v", next, err)
				}
				if took := time.Since(stopped); took < 5*time.Second || took > 6*time.Second || walks.n != 1 {
					t.Errorf("sealed after %v, for which the requests were read %d times", took, walks.n)
				}
				var output, errs []byte
				b := w.batch()
				for line := 1; line <= 20; line++ {
					k := b.Key(line)
					switch {
					case line > 4 && line != 6 && line != 9:
						errs = append(errs, tt.line(k, line == 12)...)
					case kind(line) == "answered":
						output = append(output, w.wantLine(k)...)
					default:
						errs = append(errs, w.wantLine(k)...)
					}
				}
				w.check(tt.status, output, errs)
				if err := never.finish(); !errors.Is(err, state.ErrConflict) {
					t.Errorf("after the seal a worker wrote: %v", err)
				}
			})
		})
	}
}

// TestSealThatFails cannot write the end of a request that a worker held: the flow
// hears of it, and tries again.
func TestSealThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, 10)
		w.advance()
		newLate(w, 9)
		w.cancel()
		f := w.finalizer(nil)
		f.Requests = &failing{port: f.Requests, line: 9}
		if next, err := f.Advance(t.Context(), w.ref); !errors.Is(err, errCrash) {
			t.Fatalf("next is %q: %v", next, err)
		}
		if next := w.advance(); next != finalize.NextEnd {
			t.Errorf("next is %q", next)
		}
	})
}

// failing fails the first write of a line.
type failing struct {
	port
	line   int
	failed bool
}

func (f *failing) Apply(ctx context.Context, c state.Change) error {
	if c.Spec().Key.Line == f.line && !f.failed {
		f.failed = true
		return errCrash
	}
	return f.port.Apply(ctx, c)
}

// TestSealIsCutShort ends the invocation that waits for a call in flight. Its clock
// goes on with each look, so whoever only looks at it again comes to an end too.
func TestSealIsCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, 10)
		w.advance()
		newLate(w, 9)
		w.cancel()
		f := w.finalizer(nil)
		f.Clock = func() time.Time { time.Sleep(time.Millisecond); return time.Now() }
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		f.Config.Margin = time.Second
		began := time.Now()
		_, err := f.Advance(ctx, w.ref)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 2100*time.Millisecond {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestStoppedWhileTheDeadlineIsWaitedFor cancels a batch a moment before its
// deadline, for which the seal waits: it ends cancelled, to the last line.
func TestStoppedWhileTheDeadlineIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 10)
		w.advance()
		time.Sleep(time.Until(w.batch().Deadline.Add(-4 * time.Second)))
		time.AfterFunc(2*time.Second, w.cancel)
		if next := w.advance(); next != finalize.NextEnd {
			t.Fatalf("next is %q", next)
		}
		if b := w.batch(); b.Status != batch.StatusCanceled || b.Counts.Canceled != 5 {
			t.Errorf("batch is %s, %+v", b.Status, b.Counts)
		}
	})
}

// TestClaimedWhileItIsSealed has a worker that does not know yet that its batch
// stops: it claims a request that the seal has read, and is about to end. Its
// answer, which has been paid for, counts.
func TestClaimedWhileItIsSealed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, 10)
		w.advance()
		w.cancel()
		f := w.finalizer(nil)
		f.Requests = &claiming{port: f.Requests, line: 9, claim: func() {
			late := newLate(w, 9)
			go func() {
				time.Sleep(3 * time.Second)
				w.must(late.finish())
				w.beat("w2", w.ref.ID)
			}()
		}}
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
			t.Fatalf("next is %q: %v", next, err)
		}
		if counts := w.batch().Counts; counts.Completed != 1 || counts.Canceled != 19 {
			t.Errorf("counts are %+v", counts)
		}
	})
}

// TestClaimedAgainWhileItIsWaitedFor has a worker that does not know yet that its
// batch stops: it claims a request that another held when the seal read it, and
// records its answer after the grace.
func TestClaimedAgainWhileItIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, 10)
		w.advance()
		b := w.batch()
		rec, err := w.store.Request(t.Context(), b.Key(9))
		w.must(err)
		pending, err := state.As[state.Pending](rec)
		w.must(err)
		now := time.Now()
		claimed, err := state.Claim(pending, state.Lease{ClaimID: batch.ClaimID("w1", "9"), Worker: "w1", Expires: now.Add(time.Hour)}, now)
		w.must(err)
		claim, err := claimed.Change()
		w.must(err)
		release, err := state.Release(claimed.Stored()).Change()
		w.must(err)
		w.must(w.store.Apply(t.Context(), claim))
		w.cancel()
		var worker sync.WaitGroup
		defer worker.Wait()
		worker.Go(func() {
			time.Sleep(time.Second)
			w.must(w.store.Apply(t.Context(), release))
			w.beat("w1", w.ref.ID)
			late := newLate(w, 9)
			w.beat("w2")
			time.Sleep(7 * time.Second)
			if err := late.finish(); err != nil {
				t.Errorf("the answer's write: %v", err)
			}
			w.beat("w2", w.ref.ID)
		})
		if next := w.advance(); next != finalize.NextEnd {
			t.Fatalf("next is %q", next)
		}
		if counts := w.batch().Counts; counts.Completed != 1 || counts.Canceled != 19 {
			t.Errorf("counts are %+v", counts)
		}
	})
}

// claiming claims a request before the first write of its line.
type claiming struct {
	port
	line  int
	claim func()
	once  sync.Once
}

func (c *claiming) Apply(ctx context.Context, change state.Change) error {
	if change.Spec().Key.Line == c.line {
		c.once.Do(c.claim)
	}
	return c.port.Apply(ctx, change)
}

// TestSealWaitsForCommits stops a batch while the answer of a call is being
// recorded, which takes a while.
func TestSealWaitsForCommits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		commit time.Duration // the answer is recorded so long after the stop
		beats  []beat
		sealed time.Duration
		lost   bool // the answer came too late
	}{
		"let go in time":     {1 * time.Second, []beat{{at: 2 * time.Second, letGo: true}}, 5 * time.Second, false},
		"ended":              {2 * time.Second, []beat{{at: 3 * time.Second, ended: true}}, 5 * time.Second, false},
		"lets go late":       {11 * time.Second, []beat{{at: 4 * time.Second}, {at: 12 * time.Second, letGo: true}}, 12 * time.Second, false},
		"another's let go":   {11 * time.Second, []beat{{at: 4 * time.Second, letGo: true, other: true}, {at: 13 * time.Second, ended: true}}, 13 * time.Second, false},
		"within the limit":   {19 * time.Second, []beat{{at: 5 * time.Second}}, 20 * time.Second, false},
		"after the limit":    {21 * time.Second, []beat{{at: 5 * time.Second}}, 20 * time.Second, true},
		"dead for some time": {21 * time.Second, nil, 8 * time.Second, true},
	} {
		for _, tt := range stops() {
			t.Run(name+" "+string(tt.status), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 40, 10)
					w.advance()
					late := newLate(w, 9)
					stop := w.batch().Deadline
					if tt.status == batch.StatusCanceled {
						stop = stop.Add(-time.Hour)
					}
					time.Sleep(time.Until(stop.Add(-22 * time.Second)))
					w.beat("w2")
					var beats sync.WaitGroup
					for _, b := range tc.beats {
						beats.Go(func() {
							time.Sleep(time.Until(stop.Add(b.at)))
							b.send(w)
						})
					}
					var err error
					beats.Go(func() {
						time.Sleep(time.Until(stop.Add(tc.commit)))
						err = late.finish()
					})
					time.Sleep(time.Until(stop))
					tt.stop(w)
					if next := w.advance(); next != finalize.NextEnd {
						t.Fatalf("next is %q", next)
					}
					if took := time.Since(stop); took < tc.sealed || took > tc.sealed+time.Second {
						t.Errorf("sealed after %v, want %v", took, tc.sealed)
					}
					beats.Wait()
					if lost := errors.Is(err, state.ErrConflict); lost != tc.lost || !lost && err != nil {
						t.Errorf("the answer's write: %v", err)
					}
					if done := w.batch().Counts.Completed; done != 1 != tc.lost {
						t.Errorf("%d completed", done)
					}
				})
			})
		}
	}
}

// A beat is what the worker w2 says so long after the stop.
type beat struct {
	at           time.Duration
	letGo, ended bool
	other        bool // it let go of another batch
}

func (b beat) send(w *world) {
	told := state.Worker{ID: "w2", BeatAt: time.Now(), Ended: b.ended}
	if b.letGo {
		told.LetGo = []string{w.ref.ID}
	}
	if b.other {
		told.LetGo = []string{"batch_0"}
	}
	w.must(w.store.Beat(w.t.Context(), told))
}

// beat has a worker beat, which has let go of batches.
func (w *world) beat(worker string, batches ...string) {
	w.must(w.store.Beat(w.t.Context(), state.Worker{ID: worker, BeatAt: time.Now(), LetGo: batches}))
}

// A late is a call in flight.
type late struct {
	w      *world
	change state.Change
}

func newLate(w *world, line int) late {
	w.t.Helper()
	b, now := w.batch(), time.Now()
	rec, err := w.store.Request(w.t.Context(), b.Key(line))
	w.must(err)
	r, err := state.As[state.Pending](rec)
	w.must(err)
	claimed, err := state.Claim(r, state.Lease{ClaimID: batch.ClaimID("w2", fmt.Sprint(line)), Worker: "w2", Expires: now.Add(25 * time.Hour)}, now)
	w.must(err)
	started, err := state.Start(claimed, now)
	w.must(err)
	c, err := started.Change()
	w.must(err)
	w.must(w.store.Apply(w.t.Context(), c))
	result := w.wantLine(b.Key(line))
	id := fmt.Sprint("late-", line)
	w.must(w.files.Put(w.t.Context(), batch.SegmentKey(w.ref.ID, id), result))
	c, err = state.Complete(started.Stored(), state.Result{
		StatusCode: 200, Answer: state.Span{Object: id, Length: int64(len(result))}, Tokens: state.Tokens{Output: 1, Total: 1},
	}, now).Change()
	w.must(err)
	return late{w, c}
}

func (l late) finish() error { return l.w.store.Apply(l.w.t.Context(), l.change) }

// TestSealMeetsLateAnswer lets an answer be recorded right before the seal's
// own write of the same request: the answer stays.
func TestSealMeetsLateAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		w.advance()
		l := newLate(w, 2)
		f := w.finalizer(nil)
		f.Requests = &racing{port: f.Requests, line: 2, first: func() { w.must(l.finish()) }}
		w.cancel()
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
			t.Fatalf("next is %q, %v", next, err)
		}
		b := w.batch()
		w.check(batch.StatusCanceled, w.wantLine(b.Key(2)), batch.AppendCanceled(nil, b.Key(1), "id-1", state.Canceled{}, true))
	})
}

// A racing lets another be faster with one line.
type racing struct {
	port
	line  int
	first func()
	once  sync.Once
}

func (r *racing) Apply(ctx context.Context, c state.Change) error {
	if c.Spec().Key.Line == r.line {
		r.once.Do(r.first)
	}
	return r.port.Apply(ctx, c)
}

// TestCrashes makes each call of a batch's life, one after the other, fail
// before or after it took effect, and repeats the step as the flow does. The
// result files, in one piece or in parts, are the same to the byte each time.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, status := range []batch.Status{batch.StatusCompleted, batch.StatusCanceled, batch.StatusExpired} {
		for _, part := range []int64{1 << 20, 200} {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, parts of %d, after %t", status, part, after), func(t *testing.T) {
					t.Parallel()
					var output, errs []byte
					for at, calls := 0, 0; at <= calls && !t.Failed(); at++ {
						synctest.Test(t, func(t *testing.T) {
							faults := &faults{at: at, after: after}
							w := newWorld(t, 20, 10)
							calls = liveAndCrash(w, faults, status, part)
							if at == 0 { // none: what it writes is what all others must write
								if output, errs = w.results(); status == batch.StatusCompleted {
									output, errs = w.want()
								}
							}
							w.check(status, output, errs)
						})
					}
				})
			}
		}
	}
}

// liveAndCrash lives a batch's life to its end, in parts of so many bytes. It
// returns how many calls that took.
func liveAndCrash(w *world, faults *faults, status batch.Status, part int64) int {
	f := w.finalizer(faults)
	f.Config.Part = part
	f.Uploads = faultyUploads{&tinyParts{Files: w.files, parts: map[string]map[int][]byte{}}, faults}
	advance := func(want finalize.Next) {
		for {
			next, err := f.Advance(w.t.Context(), w.ref)
			if err == nil && next == want {
				return
			}
			if !errors.Is(err, errCrash) {
				w.t.Fatalf("crash %d: next is %q, %v", faults.at, next, err)
			}
		}
	}
	advance(finalize.NextLong)
	if status == batch.StatusCompleted {
		w.work()
	}
	for _, tt := range stops() {
		if tt.status == status {
			w.count("w1", w.call("w1", 1, 2, 3, 4, 6, 7, 8)...)
			tt.stop(w)
		}
	}
	advance(finalize.NextEnd)
	return faults.calls
}

// TestTwoAtOnce lets several finalizers take every step at the same time. They
// may fail each other, as a finished upload takes no part any more; the flow
// repeats them.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6, partly)
		together := func() {
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					for range 5 {
						next, err := w.finalizer(nil).Advance(t.Context(), w.ref)
						if err == nil && next != finalize.NextAdvance {
							return
						}
						if !errors.Is(err, batch.ErrNoObject) {
							t.Errorf("next is %q, %v", next, err)
						}
					}
				})
			}
			wg.Wait()
		}
		together()
		w.work()
		together()
		output, errs := w.want()
		w.check(batch.StatusCompleted, output, errs)
	})
}

// TestAdvanceMindsItsTime gives each invocation time for a few parts only.
func TestAdvanceMindsItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 14, partly)
		w.advance()
		w.work()
		f := w.finalizer(nil)
		f.Uploads = slowUploads{f.Uploads}
		runs, next := 0, finalize.NextAdvance
		for ; next == finalize.NextAdvance; runs++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			var err error
			next, err = f.Advance(ctx, w.ref)
			w.must(err)
			if end, _ := ctx.Deadline(); time.Until(end) < 35*time.Second {
				t.Errorf("stopped %v before its end", time.Until(end))
			}
			cancel()
		}
		output, errs := w.want()
		w.check(batch.StatusCompleted, output, errs)
		// The output has 10 lines, of which two fill a part, and the error file 2.
		// A part takes 10 s, and none is begun 15 s after the start, when no more
		// than the margin is left.
		if parts := len(w.batch().WriteOut.Output.Parts); parts != 5 || runs != 4 {
			t.Errorf("%d parts in %d runs", parts, runs)
		}
	})
}

type slowUploads struct{ multipart.Uploads }

func (u slowUploads) PutPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	time.Sleep(10 * time.Second)
	return u.Uploads.PutPart(ctx, key, id, n, body)
}

// TestSealMindsItsTime seals a batch of many open requests over several runs.
func TestSealMindsItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 300, 10)
		w.advance()
		w.cancel()
		f := w.finalizer(nil)
		f.Requests = slowRequests{f.Requests}
		f.Config.Writers = 10
		runs, next := 0, finalize.NextAdvance
		for ; next == finalize.NextAdvance; runs++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			var err error
			next, err = f.Advance(ctx, w.ref)
			w.must(err)
			cancel()
		}
		if b := w.batch(); runs < 3 || b.Counts.Canceled != 300 || b.Status != batch.StatusCanceled {
			t.Errorf("%d runs, batch is %s, %+v", runs, b.Status, b.Counts)
		}
	})
}

type slowRequests struct{ port }

func (r slowRequests) Apply(ctx context.Context, c state.Change) error {
	time.Sleep(time.Second)
	return r.port.Apply(ctx, c)
}

// TestParking chooses parks by the time that is left.
func TestParking(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		left time.Duration
		want finalize.Next
	}{
		{24 * time.Hour, finalize.NextLong},
		{10*time.Minute + time.Second, finalize.NextLong},
		{10*time.Minute - time.Second, finalize.NextMedium},
		{26 * time.Second, finalize.NextMedium},
		{24 * time.Second, finalize.NextShort},
		{6 * time.Second, finalize.NextShort},
		{5 * time.Second, finalize.NextEnd}, // waits, seals, and ends
	} {
		t.Run(fmt.Sprint(tt.left), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, 10)
				w.update(func(b *batch.Batch) error { b.Deadline = time.Now().Add(tt.left); return nil })
				if next := w.advance(); next != tt.want {
					t.Errorf("next is %q, want %q", next, tt.want)
				}
			})
		})
	}
}

func TestPark(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(w *world)
		woken  bool
	}{
		"nothing to do": {func(*world) {}, false},
		"some progress": {func(w *world) { w.count("w1", w.call("w1", 1, 2)...) }, false},
		"all done":      {func(w *world) { w.work() }, true},
		"cancelled":     {func(w *world) { w.cancel() }, true},
		"due to stop":   {func(w *world) { time.Sleep(time.Until(w.batch().Deadline)) }, true},
		"sealed": {func(w *world) {
			w.work()
			w.update(func(b *batch.Batch) error {
				return b.Seal(batch.Counts{Total: 5, Completed: 3, Failed: 2}, time.Now())
			})
		}, true},
		"ended": {func(w *world) { w.work(); w.advance() }, true},
		"gone":  {func(w *world) { w.ref.ID = "batch_none" }, true},
		"counters that count too much, which Advance has seen": {func(w *world) {
			w.count("w1", 1, 2, 3, 4, 5)
			w.advance()
		}, false},
		"counters that count too much, and have moved": {func(w *world) {
			w.count("w1", 1, 2, 3, 4, 5)
			w.advance()
			w.count("w1", 6)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, 10)
				if next := w.advance(); next != finalize.NextLong {
					t.Fatalf("next is %q", next)
				}
				tt.before(w)
				w.must(w.finalizer(nil).Park(t.Context(), w.ref, "token"))
				var want []string
				if tt.woken {
					want = []string{"token"}
				} else if got := w.batch().Token; got != "token" {
					t.Errorf("the token is %q", got)
				}
				if diff := cmp.Diff(want, w.flow.Wakes()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestParkCrashes(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for at := 1; at <= 3; at++ {
			t.Run(fmt.Sprint(at, after), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 5, 10)
					w.advance()
					w.work()
					err := w.finalizer(&faults{at: at, after: after}).Park(t.Context(), w.ref, "token")
					if !errors.Is(err, errCrash) {
						t.Fatalf("error is %v", err)
					}
					if next := w.advance(); next != finalize.NextEnd { // at the tick
						t.Errorf("next is %q", next)
					}
				})
			})
		}
	}
}

// TestCountersFallShort lets a worker record outcomes and not count them.
// Whoever is brought its messages again asks for a recount, which writes what
// is true into the counter shards. If the worker lives on after all, nothing is
// counted twice.
func TestCountersFallShort(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]int{"all done": 0, "some open": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 10, 10)
				w.advance()
				w.count("w1", w.call("w1", 1, 2, 3)...)
				uncounted := w.call("w2", []int{4, 5, 6, 7, 8, 9, 10}[:7-open]...)
				time.Sleep(time.Minute)
				w.must(w.finalizer(nil).Park(t.Context(), w.ref, "token"))
				w.ask()
				next := w.advance()
				if open == 0 {
					if next != finalize.NextEnd || w.progress().Done() != 3 {
						t.Errorf("next is %q, %+v in the counters", next, w.progress())
					}
					return
				}
				want := batch.Counts{Completed: 6, Failed: 2}
				if next != finalize.NextShort || w.progress() != want {
					t.Errorf("next is %q, %+v in the counters", next, w.progress())
				}
				w.count("w2", uncounted...)
				if w.progress() != want {
					t.Errorf("once their worker counts as well, %+v are in the counters", w.progress())
				}
				w.count("w3", w.call("w3", 9, 10)...)
				w.must(w.finalizer(nil).Park(t.Context(), w.ref, "token"))
				if n := len(w.flow.Wakes()); n != 1 {
					t.Errorf("woken %d times", n)
				}
				if next := w.advance(); next != finalize.NextEnd {
					t.Errorf("next is %q", next)
				}
			})
		})
	}
}

// TestLastOutcomesComeWhileItCounts has a worker record and count a batch's last
// outcome while the requests are counted, too late to be among them.
func TestLastOutcomesComeWhileItCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10, 10)
		w.advance()
		w.count("w1", w.call("w1", 1, 2, 3, 4, 5, 6, 7, 8, 9)...)
		w.ask()
		f := w.finalizer(nil)
		f.Requests = &afterWalk{port: f.Requests, then: func() { w.count("w1", w.call("w1", 10)...) }}
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
			t.Errorf("next is %q: %v", next, err)
		}
	})
}

// afterWalk does something after the requests are read for the first time.
type afterWalk struct {
	port
	then func()
	once sync.Once
}

func (a *afterWalk) Requests(ctx context.Context, id string, shards, after int) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		a.port.Requests(ctx, id, shards, after)(yield)
		a.once.Do(a.then)
	}
}

// ask asks for a recount, as a worker does that found an outcome.
func (w *world) ask() {
	w.t.Helper()
	w.update(func(b *batch.Batch) error {
		b.AskRecount(time.Time{}, false, time.Now())
		return nil
	})
}

func (w *world) progress() batch.Counts {
	w.t.Helper()
	p, err := w.store.Progress(w.t.Context(), w.ref.ID)
	w.must(err)
	return p
}

// TestRecountThatIsNotDue asks for one right after another: the flow parks
// until it is due, and a park that the asking has overtaken wakes at once.
func TestRecountThatIsNotDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10, 10)
		w.advance()
		w.ask()
		if next := w.advance(); next != finalize.NextLong {
			t.Fatalf("nothing lagged, and next is %q", next)
		}
		w.call("w2", 1, 2, 3)
		w.ask()
		w.must(w.finalizer(nil).Park(t.Context(), w.ref, "first"))
		if n := len(w.flow.Wakes()); n != 1 {
			t.Fatalf("a park that does not know of the recount was woken %d times", n)
		}
		if next := w.advance(); next != finalize.NextMedium || w.progress().Done() != 0 {
			t.Fatalf("before it is due, next is %q with %+v counted", next, w.progress())
		}
		w.must(w.finalizer(nil).Park(t.Context(), w.ref, "second"))
		if n := len(w.flow.Wakes()); n != 1 {
			t.Fatalf("a park that knows of the recount was woken, %d times in all", n)
		}
		time.Sleep(finalize.MediumPark)
		if w.advance(); w.progress().Done() != 3 {
			t.Errorf("when it was due, %+v were counted", w.progress())
		}
	})
}

// TestLostRequestsAreEnqueuedAgain loses messages, and a worker. Three requests
// are few: each of them is sent again at each tick while all stands still.
func TestLostRequestsAreEnqueuedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 10)
		w.advance()
		start := time.Now()
		w.must(w.store.Beat(t.Context(), state.Worker{ID: "w2", BeatAt: start}))
		newLate(w, 1) // in flight, but their worker beats once and no more
		newLate(w, 2)
		w.count("w1", w.call("w1", 4)...)
		if diff := cmp.Diff([]int{1, 2, 3, 4}, w.drop()); diff != "" {
			t.Fatal(diff)
		}
		for minute := 10; minute <= 60; minute += 10 {
			time.Sleep(time.Until(start.Add(time.Duration(minute) * time.Minute)))
			w.advance()
			if diff := cmp.Diff([]int{1, 2, 3}, w.drop()); diff != "" {
				t.Errorf("minute %d: %s", minute, diff)
			}
		}
		w.must(w.store.Beat(t.Context(), state.Worker{ID: "w2", BeatAt: time.Now().Add(time.Hour)})) // it lives on
		time.Sleep(10 * time.Minute)
		w.advance()
		if diff := cmp.Diff([]int{3}, w.drop()); diff != "" {
			t.Error(diff)
		}
	})
}

// drop takes all messages out of the queue, and returns their lines.
func (w *world) drop() []int {
	w.t.Helper()
	var lines []int
	for {
		got, err := w.queue.Receive(w.t.Context(), 100)
		w.must(err)
		if len(got) == 0 {
			return lines
		}
		for _, m := range got {
			lines = append(lines, m.Message.Line)
			w.must(w.queue.Delete(w.t.Context(), []string{m.Handle}))
		}
	}
}

// TestTrial loses all messages of a batch that nobody works for: a sample is
// enqueued again, and not more until it moves. If it does while all else stands
// still, that is enqueued too.
func TestTrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 200
		w := newWorld(t, lines, 10)
		w.advance()
		start := time.Now()
		if n := len(w.drop()); n != lines {
			t.Fatalf("%d were enqueued", n)
		}
		sent := map[int]int{} // by minute
		var sample []int
		for minute := 10; minute <= 120; minute += 10 {
			time.Sleep(time.Until(start.Add(time.Duration(minute) * time.Minute)))
			w.advance()
			if again := w.drop(); len(again) > 0 {
				sent[minute], sample = len(again), again
			}
		}
		if diff := cmp.Diff(map[int]int{10: 25, 20: 25, 40: 25, 80: 25}, sent); diff != "" {
			t.Errorf("sent while nobody works (-want +got):\n%s", diff)
		}
		w.count("w1", w.call("w1", sample[:8]...)...)
		time.Sleep(10 * time.Minute)
		w.advance()
		if n := len(w.drop()); n != lines-8 {
			t.Errorf("%d were sent again once a third of the sample had moved, want %d", n, lines-8)
		}
		time.Sleep(10 * time.Minute)
		w.advance()
		if n := len(w.drop()); n > 25 {
			t.Errorf("%d were sent once more, want a sample at most", n)
		}
	})
}

// TestQuietCostsLittle counts what an hour of a slow upstream costs.
func TestQuietCostsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 10)
		w.advance()
		f := w.finalizer(nil)
		walks := &walks{port: f.Requests}
		f.Requests = walks
		for range 6 {
			time.Sleep(10 * time.Minute)
			next, err := f.Advance(t.Context(), w.ref)
			if next != finalize.NextLong || err != nil {
				t.Fatalf("next is %q, %v", next, err)
			}
			next, err = f.Advance(t.Context(), w.ref) // a wake that somebody's duplicate brings
			if next != finalize.NextLong || err != nil {
				t.Fatalf("next is %q, %v", next, err)
			}
		}
		if walks.n > 12 { // a recount and a judgement a tick
			t.Errorf("the requests were read %d times", walks.n)
		}
	})
}

// walks counts how often the requests are read.
type walks struct {
	port
	n int
}

func (w *walks) Requests(ctx context.Context, id string, shards, after int) iter.Seq2[state.Record, error] {
	w.n++
	return w.port.Requests(ctx, id, shards, after)
}

// TestLongAnswersAreReadInPieces demands that the bytes of a long answer are not there twice while they are written out.
func TestLongAnswersAreReadInPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 11_000_000)
		w.advance()
		w.work()
		f := w.finalizer(nil)
		reads := &longest{Objects: f.Objects}
		f.Objects = reads
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
			t.Fatalf("next is %q: %v", next, err)
		}
		output, errs := w.want()
		w.check(batch.StatusCompleted, output, errs)
		if n := reads.n.Load(); n > 4<<20 {
			t.Errorf("%d bytes were read at once", n)
		}
	})
}

// A longest keeps the length of the longest read.
type longest struct {
	finalize.Objects

	n atomic.Int64
}

func (l *longest) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	for n := l.n.Load(); length > n && !l.n.CompareAndSwap(n, length); n = l.n.Load() {
	}
	return l.Objects.Read(ctx, key, offset, length)
}

// TestSealedIsNotReadAgain ends a batch that stops with some of its requests done
// and none in flight: nobody is waited for, and what the seal has read and ended
// is written out without another read.
func TestSealedIsNotReadAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range stops() {
		t.Run(string(tt.status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 12, 10, 5)
				w.advance()
				done := w.call("w1", 1, 2, 3, 4, 6, 7, 10, 11, 12) // as many of them failed as are left
				w.count("w1", done...)
				tt.stop(w)
				stopped := time.Now()
				f := w.finalizer(nil)
				walks := &walks{port: f.Requests}
				f.Requests = walks
				if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
					t.Fatalf("next is %q: %v", next, err)
				}
				if took := time.Since(stopped); walks.n != 1 || took > 0 {
					t.Errorf("the requests were read %d times, for %v", walks.n, took)
				}
				var output, errs []byte
				b := w.batch()
				for line := 1; line <= 12; line++ {
					switch k := b.Key(line); {
					case !slices.Contains(done, line):
						errs = append(errs, tt.line(k, false)...)
					case kind(line) == "answered":
						output = append(output, w.wantLine(k)...)
					default:
						errs = append(errs, w.wantLine(k)...)
					}
				}
				w.check(tt.status, output, errs)
			})
		})
	}
}

// TestMissingLine has requests that are gone. Their batch goes on without them,
// and ends with its files when it stops: theirs are among the lines of what was
// not done, with the custom_ids of the input.
func TestMissingLine(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string][]int{
		"the first": {1}, "one": {4}, "the last": {12}, "two runs": {2, 3, 4, 8}, "all": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	} {
		for _, tt := range stops() {
			t.Run(name+" "+string(tt.status), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testMissing(t, tt, missing) })
			})
		}
	}
}

func testMissing(t *testing.T, tt stop, missing []int) {
	t.Helper()
	w := newWorld(t, 12, 10, missing...)
	w.advance()
	w.work()
	if next := w.advance(); next == finalize.NextEnd || next == finalize.NextAdvance {
		t.Fatalf("next is %q", next)
	}
	tt.stop(w)
	reads := &reading{Objects: w.files}
	f := w.finalizer(nil)
	f.Objects = reads
	if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
		t.Fatalf("next is %q: %v", next, err)
	}
	if got := reads.of(batch.FileKey("acme", "file-in")); got != 1 {
		t.Errorf("%d reads of the input", got)
	}
	var output, errs []byte
	b := w.batch()
	for line := 1; line <= 12; line++ {
		switch k := b.Key(line); {
		case slices.Contains(missing, line):
			errs = append(errs, tt.line(k, false)...)
		case kind(line) == "answered":
			output = append(output, w.wantLine(k)...)
		default:
			errs = append(errs, w.wantLine(k)...)
		}
	}
	w.check(tt.status, output, errs)
}

// A reading counts reads by object.
type reading struct {
	finalize.Objects

	mu sync.Mutex
	n  map[string]int
}

func (r *reading) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	r.mu.Lock()
	if r.n == nil {
		r.n = map[string]int{}
	}
	r.n[key]++
	r.mu.Unlock()
	return r.Objects.Read(ctx, key, offset, length)
}

func (r *reading) of(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n[key]
}

// TestMissingFromEverywhere has a request that is gone, and an input that is
// gone as well: the batch ends all the same.
func TestMissingFromEverywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, 10, 2)
		w.advance()
		w.cancel()
		f := w.finalizer(nil)
		f.Objects = noInput{w.files}
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextEnd || err != nil {
			t.Fatalf("next is %q: %v", next, err)
		}
		b := w.batch()
		errs := slices.Concat(
			batch.AppendCanceled(nil, b.Key(1), "id-1", state.Canceled{}, true), batch.AppendCanceled(nil, b.Key(2), "", state.Canceled{}, true),
			batch.AppendCanceled(nil, b.Key(3), "id-3", state.Canceled{}, true))
		w.check(batch.StatusCanceled, nil, errs)
	})
}

type noInput struct{ finalize.Objects }

func (o noInput) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if key == batch.FileKey("acme", "file-in") {
		return nil, batch.ErrNoObject
	}
	return o.Objects.Read(ctx, key, offset, length)
}

// TestLostAfterTheSeal loses a request that was sealed: nobody may make it up.
func TestLostAfterTheSeal(t *testing.T) {
	t.Parallel()
	for _, line := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(line), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, 10)
				w.advance()
				w.work()
				f := w.finalizer(nil)
				f.Requests = &without{port: f.Requests, line: line, from: 2}
				_, err := f.Advance(t.Context(), w.ref)
				if !errors.Is(err, state.ErrNotFound) || !strings.Contains(err.Error(), fmt.Sprintf(" line %d: ", line)) {
					t.Errorf("error is %v", err)
				}
				if b := w.batch(); !b.Sealed || b.Status.Terminal() {
					t.Errorf("the batch is %s", b.Status)
				}
			})
		})
	}
}

// without lacks a line, from the walk numbered from on.
type without struct {
	port
	line, from int

	walks int
}

func (r *without) Requests(ctx context.Context, id string, shards, after int) iter.Seq2[state.Record, error] {
	if r.walks++; r.walks < r.from {
		return r.port.Requests(ctx, id, shards, after)
	}
	return func(yield func(state.Record, error) bool) {
		for rec, err := range r.port.Requests(ctx, id, shards, after) {
			if rec.Spec.Key.Line != r.line && !yield(rec, err) {
				return
			}
		}
	}
}

func TestAbandon(t *testing.T) {
	t.Parallel()
	const cause = `{"Error":"States.Timeout","Cause":"arn:aws:secret"}`
	for name, tt := range map[string]struct {
		before func(w *world)
		status batch.Status
		files  bool
		about  string
	}{
		"loaded": {func(w *world) {
			w.advance()
			w.count("w1", w.call("w1", 1, 2, 3)...)
		}, batch.StatusFailed, true, "States.Timeout"},
		"not loaded": {func(w *world) {
			w.update(func(b *batch.Batch) error { b.Load.Line, b.Status = 2, batch.StatusValidating; return nil })
		}, batch.StatusFailed, false, "No request was sent"},
		"sealed": {func(w *world) {
			w.advance()
			w.work()
			w.update(func(b *batch.Batch) error {
				now := time.Now()
				output, err1 := w.fileID(now)
				errs, err2 := w.fileID(now)
				b.WriteOut = batch.WriteOut{OutputID: output, ErrorID: errs}
				return errors.Join(err1, err2, b.Seal(batch.Counts{Total: 5, Completed: 3, Failed: 2}, now))
			})
		}, batch.StatusFailed, true, "States.Timeout"},
		"cancelled": {func(w *world) {
			w.advance()
			w.count("w1", w.call("w1", 1, 2, 3)...)
			w.cancel()
		}, batch.StatusCanceled, true, ""},
		"ended": {func(w *world) {
			w.advance()
			w.work()
			w.advance()
		}, batch.StatusCompleted, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, 10)
				tt.before(w)
				w.must(w.finalizer(nil).Abandon(t.Context(), w.ref, cause))
				b := w.batch()
				output, errs := w.results()
				if b.Status != tt.status || (output != nil) != tt.files || (errs != nil) != tt.files {
					t.Errorf("batch is %s, %+v, with %d and %d bytes", b.Status, b.Counts, len(output), len(errs))
				}
				if tt.about == "" {
					if len(b.Errors) > 0 {
						t.Errorf("errors: %+v", b.Errors)
					}
				} else if len(b.Errors) != 1 || !strings.Contains(b.Errors[0].Message, tt.about) ||
					strings.Contains(b.Errors[0].Message, "secret") {
					t.Errorf("errors: %+v", b.Errors)
				}
				if tt.files && b.Counts.Done() != 5 {
					t.Errorf("counts are %+v", b.Counts)
				}
				w.must(w.finalizer(nil).Abandon(t.Context(), w.ref, cause)) // again
				if diff := cmp.Diff(b, w.batch()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestAbandonOfNoBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 10)
		w.ref.ID = "batch_none"
		w.must(w.finalizer(nil).Abandon(t.Context(), w.ref, "{}"))
	})
}

func TestAbandonCrashes(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			t.Parallel()
			for at, calls := 1, 1; calls >= at; at++ {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 5, 10)
					w.advance()
					w.count("w1", w.call("w1", 1, 2, 3)...)
					f := &faults{at: at, after: after}
					err := w.finalizer(f).Abandon(t.Context(), w.ref, "{}")
					if calls = f.calls; calls < at {
						return
					}
					if !errors.Is(err, errCrash) {
						t.Fatalf("error is %v", err)
					}
					w.must(w.finalizer(nil).Abandon(t.Context(), w.ref, "{}"))
					b := w.batch()
					output := append(w.wantLine(b.Key(1)), w.wantLine(b.Key(2))...)
					errs := w.wantLine(b.Key(3))
					for line := 4; line <= 5; line++ {
						errs = batch.AppendFailure(errs, b.Key(line), fmt.Sprint("id-", line), batch.Failing{Reason: state.TaskTerminated{Deaths: 1, Error: "the request was given up with its batch"}})
					}
					w.check(batch.StatusFailed, output, errs)
				})
			}
		})
	}
}

// TestAbandonWithoutResults cannot read a segment: it tries for its patience,
// and then ends the batch all the same.
func TestAbandonWithoutResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 10)
		w.advance()
		w.work()
		w.must(w.files.DeleteAll(t.Context(), "batches/"))
		start, tries := time.Now(), 0
		for ; ; tries++ {
			err := w.finalizer(nil).Abandon(t.Context(), w.ref, "{}")
			if err == nil {
				break
			}
			if !errors.Is(err, batch.ErrNoObject) {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
		}
		if took := time.Since(start); took != 30*time.Minute {
			t.Errorf("took %v", took)
		}
		w.check(batch.StatusFailed, nil, nil)
		if b := w.batch(); !strings.Contains(b.Errors[0].Message, "the answers are stored") {
			t.Errorf("errors: %+v", b.Errors)
		}
	})
}
