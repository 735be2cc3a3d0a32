package execute_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/state"
)

// finish advances the batch to its end as its flow would.
func (w *world) finish() {
	w.Helper()
	ids := 0
	f := finalize.New(finalize.Deps{
		Requests: w.store, Journal: w.store, Batches: w.store, Objects: w.files, Uploads: w.files, Queue: w.queue, Flow: w.flow,
		Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		NewFileID: func(time.Time) (string, error) { ids++; return fmt.Sprint("file-", ids), nil },
	}, finalize.Config{})
	for {
		next, err := f.Advance(w.Context(), batch.Ref{Tenant: testTenant, ID: testBatch})
		must(w.T, err)
		if next == finalize.NextEnd {
			return
		}
		time.Sleep(time.Second)
	}
}

// TestPaidAnswersOutliveTheStop has answers come shortly before a batch is
// cancelled or its deadline passes, and the writes that record them be slow.
// None is dropped, and the batch ends within its time.
func TestPaidAnswersOutliveTheStop(t *testing.T) {
	t.Parallel()
	const n = 8
	for name, tc := range map[string]struct {
		slow    time.Duration  // each write of a segment takes so long
		fails   map[string]int // so many of the first writes of a kind fail
		ends    time.Duration  // at the latest, after the stop
		answers int            // completed at the end
	}{
		"usual":                       {0, nil, 7 * time.Second, n - 1},
		"slow segments":               {9 * time.Second, nil, 14 * time.Second, n - 1},
		"outcomes written in the end": {3 * time.Second, map[string]int{"outcome": 15}, 14 * time.Second, n - 1},
		"a worker that hangs":         {14 * time.Second, map[string]int{"put": 2}, 30 * time.Second, 0},
	} {
		for _, stop := range []batch.Status{batch.StatusCanceled, batch.StatusExpired} {
			t.Run(name+" "+string(stop), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					at := time.Now().Add(3 * time.Minute)
					w := newWorld(t, input(n), loaded(n), func(b *batch.Batch) {
						if stop == batch.StatusExpired {
							b.Deadline = at.UTC()
						}
					})
					w.sendAll(n)
					w.up.answer = func(ctx context.Context, line, _ int) (execute.Reply, error) {
						after := 3*time.Minute - time.Duration(line)*200*time.Millisecond
						if line == n { // it never answers
							after = time.Hour
						}
						select {
						case <-time.After(after):
							return ok("{}")
						case <-ctx.Done():
							return execute.Reply{}, ctx.Err()
						}
					}
					m := &machine{world: w, plan: func(op string, i int) fault {
						if op == "put" {
							time.Sleep(tc.slow)
						}
						if i <= tc.fails[op] {
							return failBefore
						}
						return none
					}}
					got := w.deliver(n)
					done := make(chan struct{})
					go func() {
						defer close(done)
						w.invoke(m, w.process(m, execute.Config{}), got)
					}()
					time.Sleep(time.Until(at))
					if stop == batch.StatusCanceled {
						w.update(func(b *batch.Batch) error { return b.Cancel(time.Now()) })
					}
					w.finish()
					if took := time.Since(at); took > tc.ends {
						t.Errorf("the batch ended after %v, want %v", took, tc.ends)
					}
					b, err := w.store.Batch(t.Context(), batch.Ref{Tenant: testTenant, ID: testBatch})
					must(t, err)
					if b.Status != stop || b.Counts.Completed != tc.answers {
						t.Errorf("the batch is %s with %+v", b.Status, b.Counts)
					}
					<-done
					w.kept()
				})
			})
		}
	}
}

// A hanging caller answers no call before it is aborted, and then a while later.
type hanging struct{}

func (hanging) Call(ctx context.Context, _ execute.Call) (execute.Reply, error) {
	<-ctx.Done()
	time.Sleep(700 * time.Millisecond)
	return execute.Reply{}, &execute.CallError{Kind: execute.CallBroken, Text: "aborted"}
}

// TestLettingGoIsToldAtOnce has a worker with calls of two batches, one of which
// stops: its next beat, which is due as soon as it is so, says that it has let go
// of that one, and of no other.
func TestLettingGoIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2))
		w.sendAll(2)
		other, err := w.store.Batch(t.Context(), batch.Ref{Tenant: testTenant, ID: testBatch})
		must(t, err)
		other.ID, other.Rev = "batch_other", 0
		must(t, w.store.CreateBatch(t.Context(), other))
		rec := w.record(1)
		rec.Spec.Key.Batch = other.ID
		c, err := state.New(rec.Spec).Change()
		must(t, err)
		must(t, w.store.Create(t.Context(), []state.Change{c}))
		must(t, w.queue.Send(t.Context(), []batch.Message{batch.MessageOf(testTenant, rec.Spec)}))

		beats := &heard{Workers: w.store}
		p := execute.New(execute.Deps{
			Requests: w.store, Workers: beats, Limits: w.store, Batches: w.store, Files: w.files, Queue: w.queue, Flow: w.flow,
			Caller: hanging{}, Metrics: w.stats, Log: slog.New(slog.DiscardHandler),
			Clock: time.Now, Uniform: func() float64 { return 0.5 }, NewID: w.newID, Models: w.models,
		}, execute.Config{})
		time.AfterFunc(11*time.Second, func() {
			w.update(func(b *batch.Batch) error { return b.Cancel(time.Now()) })
		})
		start := time.Now()
		w.invoke(&machine{world: w}, p, w.deliver(3))
		for i, b := range beats.all {
			at := b.BeatAt.Sub(start)
			want := []string{testBatch}
			if at < 11700*time.Millisecond || b.Ended {
				want = nil
			}
			if diff := cmp.Diff(want, b.LetGo); diff != "" {
				t.Errorf("beat %d, after %v (-want +got):\n%s", i, at, diff)
			}
		}
		// It looks every 2 s, and its other beats come at 10 and 15 s.
		if at := beats.all[3].BeatAt.Sub(start); at < 11700*time.Millisecond || at > 13700*time.Millisecond {
			t.Errorf("it let go after %v", at)
		}
	})
}

// TestALateLookTellsNothing has the last look at a batch last until all is done:
// it finds that the batch stops, and there is nobody left to let go of it.
func TestALateLookTellsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.send(1)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			time.Sleep(3 * time.Second)
			return ok("{}")
		}
		m := &machine{world: w, plan: func(op string, n int) fault {
			if op == "batch" && n == 2 {
				time.Sleep(2 * time.Second)
			}
			return none
		}}
		time.AfterFunc(3500*time.Millisecond, func() {
			w.update(func(b *batch.Batch) error { return b.Cancel(time.Now()) })
		})
		beats := &heard{Workers: w.store}
		p := w.process(m, execute.Config{})
		p.Workers = beats
		w.invoke(m, p, w.deliver(1))
		synctest.Wait() // for whatever has outlived the run
		w.done(state.StatusCompleted)
		if n := len(beats.all); n != 2 || !beats.all[1].Ended {
			t.Errorf("%d beats, want the first and the last", n)
		}
	})
}

// A heard keeps every beat.
type heard struct {
	execute.Workers

	mu  sync.Mutex
	all []state.Worker
}

func (h *heard) Beat(ctx context.Context, w state.Worker) error {
	h.mu.Lock()
	h.all = append(h.all, w)
	h.mu.Unlock()
	return h.Workers.Beat(ctx, w)
}

// TestWhoClaimsNothingBeatsOnce has an event whose requests another worker holds:
// there are no leases to end.
func TestWhoClaimsNothingBeatsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2))
		w.sendAll(2)
		w.sendAll(2)
		first, second := w.deliver(2), w.deliver(2)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			time.Sleep(30 * time.Second)
			return ok("{}")
		}
		m := &machine{world: w}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.invoke(m, w.process(m, execute.Config{}), first)
		}()
		time.Sleep(time.Second)
		beats := &heard{Workers: w.store}
		p := w.process(m, execute.Config{})
		p.Workers = beats
		if failed := w.invoke(m, p, second); len(failed) != 2 || len(beats.all) != 1 {
			t.Errorf("%d messages stay, and the worker beat %d times", len(failed), len(beats.all))
		}
		<-done
		w.done(allCompleted(2)...)
	})
}

// TestAnswersAreWrittenUntilTheyAreStored has a write of what was answered fail for
// three minutes, while another call lasts for longer: the answer is not asked for
// again, nor left until the worker ends.
func TestAnswersAreWrittenUntilTheyAreStored(t *testing.T) {
	t.Parallel()
	for _, fails := range []string{"put", "outcome", "counter"} {
		t.Run(fails, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(2))
				w.sendAll(2)
				w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
					if line == 2 {
						time.Sleep(9 * time.Minute)
					}
					return ok("{}")
				}
				mended := time.Now().Add(3 * time.Minute)
				m := &machine{world: w, plan: func(op string, _ int) fault {
					if op == fails && time.Now().Before(mended) {
						return failBefore
					}
					return none
				}}
				time.AfterFunc(4*time.Minute, func() {
					w.done(state.StatusCompleted, state.StatusProcessing)
					if n := w.progress().Completed; n != 1 {
						t.Errorf("%d outcomes are counted, want 1", n)
					}
				})
				if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(10)); len(failed) > 0 {
					t.Errorf("%d messages stay", len(failed))
				}
				w.done(allCompleted(2)...)
				if diff := cmp.Diff([]int{1, 1}, w.up.called(2)); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestAnswersAreWrittenUntilTheTimeIsUp has the write of what was answered fail until
// shortly before the invocation is killed: it is stored all the same, and if it cannot be
// the worker still ends in good order.
func TestAnswersAreWrittenUntilTheTimeIsUp(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{14*time.Minute + 40*time.Second, time.Hour} {
		t.Run(lasts.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1))
				w.sendAll(1)
				start, ended := time.Now(), 0
				m := &machine{world: w, plan: func(op string, _ int) fault {
					if op == "ended" {
						ended++
					}
					if op == "put" && time.Since(start) < lasts {
						return failBefore
					}
					return none
				}}
				failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(1))
				if took := time.Since(start); took > 15*time.Minute-5*time.Second {
					t.Errorf("it took %v of 15 minutes", took)
				}
				if lasts > 15*time.Minute {
					if len(failed) != 1 || ended != 1 {
						t.Errorf("%d messages stay, and the worker was marked ended %d times", len(failed), ended)
					}
					return
				}
				if len(failed) > 0 {
					t.Errorf("%d messages stay", len(failed))
				}
				w.done(allCompleted(1)...)
			})
		})
	}
}

// TestFlowCountsWhatIsNotCounted has counter shards fail for three minutes while
// two requests are answered, one later: once nothing of the batch is under way any
// more, its flow is asked to count the requests, and nobody waits for the store.
func TestFlowCountsWhatIsNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2))
		w.sendAll(2)
		start, woken := time.Now(), time.Duration(0)
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			if line == 2 {
				time.Sleep(20 * time.Second)
			}
			return ok("{}")
		}
		m := &machine{world: w, plan: func(op string, _ int) fault {
			switch {
			case op == "counter" && time.Since(start) < 3*time.Minute:
				return failBefore
			case op == "wake" && woken == 0:
				woken = time.Since(start)
			}
			return none
		}}
		if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(10)); len(failed) > 0 {
			t.Errorf("%d messages stay", len(failed))
		}
		if took := time.Since(start); woken < 20*time.Second || woken > 35*time.Second || took > time.Minute {
			t.Errorf("the flow is woken at %v, and the worker ends at %v", woken, took)
		}
		if b, err := w.store.Batch(t.Context(), batch.Ref{Tenant: testTenant, ID: testBatch}); err != nil || b.RecountAt.IsZero() || w.progress().Done() > 0 {
			t.Errorf("a recount is due at %v (%v), and %+v are counted", b.RecountAt, err, w.progress())
		}
		w.done(allCompleted(2)...)
	})
}
