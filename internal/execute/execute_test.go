package execute_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

func TestEveryLineIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(25))
		w.events = func() int { return 25 } // of several workers nobody knows who receives what
		w.sendAll(25)
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			time.Sleep(time.Duration(line) * 10 * time.Millisecond)
			return ok(fmt.Sprintf(`{"line":%d}`, line))
		}
		writes := map[string]int{}
		m := &machine{world: w}
		m.plan = func(op string, _ int) fault {
			m.mu.Lock()
			defer m.mu.Unlock()
			writes[op]++
			return none
		}
		w.drive(time.Minute, func() *machine { return m })
		w.done(allCompleted(25)...)
		if diff := cmp.Diff(slices.Repeat([]int{1}, 25), w.up.called(25)); diff != "" {
			t.Errorf("calls: %s", diff)
		}
		if !strings.Contains(w.line(7), `"body":{"line":7}},"error":null`) {
			t.Errorf("line 7 is %s", w.line(7))
		}
		p, _ := w.record(7).Phase.(state.Completed)
		if p.StatusCode != http.StatusOK || p.Model != "m-1" || p.CompletedAt.Before(p.StartedAt) || p.StartedAt.IsZero() {
			t.Errorf("line 7 is %+v", p)
		}
		if got := w.progress(); got != (batch.Counts{Completed: 25}) {
			t.Errorf("progress is %+v", got)
		}
		if !slices.Contains(w.flow.Wakes(), testToken) {
			t.Error("the flow was not woken")
		}
		// One worker: a read of the lines and a segment; two writes a request.
		want := map[string]int{"start": 25, "outcome": 25, "read": 1, "put": 1, "counter": 1, "request": 0, "worker": 0, "retry": 0}
		for op, n := range want {
			if writes[op] != n {
				t.Errorf("%d operations of kind %s, want %d", writes[op], op, n)
			}
		}
	})
}

func TestFailuresThatAreNotRetried(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		line  string // instead of a well-formed one
		reply execute.Reply
		err   error
		want  state.Reason
		says  string // in the line
		calls int
	}{
		"bad request": {
			reply: execute.Reply{StatusCode: 400, Body: []byte(`{"error":{}}`)},
			want:  state.NonRetryableHTTPStatus{Status: 400}, says: `"status_code":400`, calls: 1,
		},
		"redirect": {
			reply: execute.Reply{StatusCode: 302},
			want:  state.NonRetryableHTTPStatus{Status: 302}, says: `"status_code":302`, calls: 1,
		},
		"quota that fails": {
			reply: execute.Reply{StatusCode: 429, ErrorCode: "insufficient_quota", Body: []byte(`{"error":{}}`)},
			want:  state.NonRetryableHTTPStatus{Status: 429}, says: `"status_code":429`, calls: 1,
		},
		"error in body": {
			reply: execute.Reply{StatusCode: 200, Verdict: answer.Verdict{Sense: answer.Refused, Status: 400}, Body: []byte(`{"error":{"message":"no"}}`)},
			want:  state.ErrorInBody{Status: 200, Means: 400}, says: `"code":"error_in_body"`, calls: 1,
		},
		"too large": {
			err:  &execute.CallError{Kind: execute.CallTooLarge, Text: "large", Limit: 10},
			want: state.ResponseTooLarge{Limit: 10}, says: `"code":"response_too_large"`, calls: 1,
		},
		"refused by the caller": {
			err:  &execute.CallError{Kind: execute.CallUnsendable, Text: "malformed"},
			want: state.RequestBuilderError{Error: "malformed"}, says: `"code":"invalid_request"`, calls: 1,
		},
		"not JSON": {
			line: `{"custom_id":`,
			want: state.RequestBuilderError{Error: "This line is not parseable as valid JSON. It ends before its value does. A request " +
				`stands on one line: write it without indentation, and a line break within a text as \n (json.dumps(request) does both).`},
			says: `"code":"invalid_request"`,
		},
		"another path than the batch's": {
			line: strings.Replace(input(1)[0], "/v1/chat/completions", "/v1/organization/admin_api_keys", 1),
			want: state.RequestBuilderError{
				Error: "The URL provided for this request does not match the batch endpoint (/v1/chat/completions).",
			},
			says: `"code":"invalid_request"`,
		},
		"bad request of a line without its version": {
			line:  strings.Replace(input(1)[0], "/v1/", "/", 1),
			reply: execute.Reply{StatusCode: 400, Body: []byte(`{"error":{}}`)},
			want:  state.NonRetryableHTTPStatus{Status: 400}, says: `"status_code":400`, calls: 1,
		},
		"another method than POST": {
			line: strings.Replace(input(1)[0], "POST", "DELETE", 1),
			want: state.RequestBuilderError{Error: "Only the method 'POST' is supported."},
			says: `"code":"invalid_request"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lines := input(2)
				if tc.line != "" {
					lines[0] = tc.line
				}
				w := newWorld(t, lines)
				m := route.DefaultModel("https://api.example.com/v1", false)
				m.SpentQuota = route.Fail
				w.models = route.NewTable(m).Now
				w.sendAll(2)
				w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
					if line == 1 {
						return tc.reply, tc.err
					}
					return ok("{}")
				}
				w.drive(time.Minute, w.one())
				w.done(state.StatusFailed, state.StatusCompleted)
				if diff := cmp.Diff([]int{tc.calls, 1}, w.up.called(2)); diff != "" {
					t.Errorf("calls: %s", diff)
				}
				failed, _ := w.record(1).Phase.(state.Failed)
				if diff := cmp.Diff(tc.want, failed.Reason); diff != "" {
					t.Error(diff)
				}
				if !strings.Contains(w.line(1), tc.says) {
					t.Errorf("the line is %s, want %s in it", w.line(1), tc.says)
				}
				if got := w.progress(); got != (batch.Counts{Completed: 1, Failed: 1}) {
					t.Errorf("progress is %+v", got)
				}
			})
		})
	}
}

func TestMissingInputFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		must(t, w.files.Delete(t.Context(), batch.FileKey(testTenant, testFile)))
		w.send(1)
		w.drive(time.Minute, w.one())
		w.done(state.StatusFailed)
	})
}

func TestFailuresThatAreRetried(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fail func(ctx context.Context) (execute.Reply, error)
		gaps []time.Duration // at least; at most the queue's second and a poll more
		last string
	}{
		"500": {
			fail: func(context.Context) (execute.Reply, error) { return status(500) },
			gaps: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
			last: "the upstream answered with status 500",
		},
		"429 with Retry-After": {
			fail: func(context.Context) (execute.Reply, error) {
				return execute.Reply{StatusCode: 429, RetryAfter: 7 * time.Second}, nil
			},
			gaps: []time.Duration{7 * time.Second, 7 * time.Second, 7 * time.Second},
			last: "the upstream answered with status 429",
		},
		"timeout": {
			fail: func(context.Context) (execute.Reply, error) {
				return execute.Reply{}, &execute.CallError{Kind: execute.CallTimedOut, Text: "slow"}
			},
			gaps: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
			last: "the call timed out: slow",
		},
		"reset": {
			fail: func(context.Context) (execute.Reply, error) {
				return execute.Reply{}, &execute.CallError{Kind: execute.CallBroken, Text: "reset"}
			},
			gaps: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
			last: "the call broke off: reset",
		},
		"unknown error": {
			fail: func(context.Context) (execute.Reply, error) { return execute.Reply{}, errors.New("a secret") },
			gaps: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
			last: "the call broke off: the reason is not known",
		},
		"panic": {
			fail: func(context.Context) (execute.Reply, error) { panic("a secret") },
			gaps: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
			last: "the call panicked: an error of this service",
		},
		"the attempt's own limit": {
			fail: func(ctx context.Context) (execute.Reply, error) {
				<-ctx.Done()
				return execute.Reply{}, &execute.CallError{Kind: execute.CallBroken, Text: "cut"}
			},
			gaps: []time.Duration{10*time.Minute + time.Second, 10*time.Minute + 2*time.Second, 10*time.Minute + 4*time.Second},
			last: "the call timed out: the attempt took longer than 10m0s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1))
				w.send(1)
				var lasts []string
				w.up.answer = func(ctx context.Context, _, before int) (execute.Reply, error) {
					p, _ := w.stored(ctx, 1).Phase.(state.Processing)
					if p.Attempt != before || p.Reclaims != 0 {
						t.Errorf("call %d is of attempt %d, with %d reclaims", before, p.Attempt, p.Reclaims)
					}
					lasts = append(lasts, p.Last)
					if before < 3 {
						return tc.fail(ctx)
					}
					return ok("{}")
				}
				w.drive(time.Hour, w.one())
				w.done(state.StatusCompleted)
				if diff := cmp.Diff([]string{"", tc.last, tc.last, tc.last}, lasts); diff != "" {
					t.Errorf("last failures: %s", diff)
				}
				for i, gap := range w.up.gaps() {
					if gap < tc.gaps[i] || gap > tc.gaps[i]+1200*time.Millisecond {
						t.Errorf("wait %d is %v, want %v", i, gap, tc.gaps[i])
					}
				}
				if p, _ := w.record(1).Phase.(state.Completed); p.Attempt != 3 {
					t.Errorf("completed at attempt %d, want 3", p.Attempt)
				}
			})
		})
	}
}

func TestRetriesAreCountedBeforeTheyAreDecided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1), func(b *batch.Batch) { b.Policy.MaxRetries = 3 })
		w.send(1)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			return execute.Reply{StatusCode: 503, ErrorCode: "made up", Body: []byte(`"busy"`)}, nil
		}
		w.drive(time.Minute, w.one())
		w.done(state.StatusFailed)
		want := state.Failed{
			Attempt: 3, Reason: state.RetryableHTTPStatus{Status: 503}, Denial: state.DenialMaxRetries, Model: "m",
		}
		got, _ := w.record(1).Phase.(state.Failed)
		if got.Attempt != want.Attempt || got.Reason != want.Reason || got.Denial != want.Denial || got.Model != want.Model {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if !strings.Contains(w.line(1), `"status_code":503,"request_id":"","body":"busy"`) {
			t.Errorf("the line is %s: it must keep the real answer", w.line(1))
		}
		if n := w.stats.of("http_status_retryable_total{model,m,status,503,code,other}"); n != 4 {
			t.Errorf("%d retryable statuses counted, want 4", n)
		}
		if n := w.stats.of("retry_denied_total{model,m,reason,max_retries}"); n != 1 {
			t.Errorf("%d denials counted, want 1", n)
		}
	})
}

// TestModelsOfLinesAreNoLabels has a tenant name a model of its own in each line.
func TestModelsOfLinesAreNoLabels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines := input(20)
		for i := range lines[1:] {
			lines[i+1] = strings.Replace(lines[i+1], `"model":"m"`, fmt.Sprintf(`"model":"mine-%d"`, i), 1)
		}
		lines[19] = strings.Replace(lines[19], `"model":"mine-18",`, "", 1)
		w := newWorld(t, lines, func(b *batch.Batch) { b.Policy.MaxRetries = 1 })
		w.sendAll(20)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) { return status(500) }
		w.drive(time.Minute, w.one())
		if diff := cmp.Diff([]string{"", "m", "other"}, w.stats.models()); diff != "" {
			t.Errorf("models of metrics (-want +got):\n%s", diff)
		}
		if n := w.stats.of("retry_denied_total{model,other,reason,max_retries}"); n != 18 {
			t.Errorf("%d denials of other models counted, want 18", n)
		}
	})
}

func TestRetryDeniedByTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1), func(b *batch.Batch) {
			b.Deadline = time.Now().Add(30 * time.Second).UTC()
			b.Policy.StopBeforeDeadline = 20 * time.Second
			b.Policy.Retryable = retry.DefaultStatuses()
		})
		w.send(1)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) { return status(429) }
		w.drive(time.Minute, w.one())
		w.done(state.StatusFailed)
		got, _ := w.record(1).Phase.(state.Failed)
		if got.Denial != state.DenialDeadline || got.Reason != (state.RetryableHTTPStatus{Status: 429}) {
			t.Errorf("got %+v: the denial must keep the real failure", got)
		}
		// Calls at 0, 1, 3 and 7 s; the next would be at 15 s, and 10 s is the end.
		if calls := w.up.called(1)[0]; calls != 4 {
			t.Errorf("%d calls, want 4", calls)
		}
		if n := w.stats.of("retry_denied_total{model,m,reason,deadline}"); n != 1 {
			t.Errorf("%d denials counted, want 1", n)
		}
	})
}

func TestDuplicateDeliveriesMakeOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3))
		for range 8 { // within one event and across several at once
			w.sendAll(3)
		}
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			time.Sleep(20 * time.Second)
			return ok("{}")
		}
		w.drive(5*time.Minute, func() *machine { return &machine{world: w} })
		w.done(allCompleted(3)...)
		if diff := cmp.Diff([]int{1, 1, 1}, w.up.called(3)); diff != "" {
			t.Errorf("calls: %s", diff)
		}
		if got := w.progress(); got.Completed != 3 {
			t.Errorf("progress is %+v", got)
		}
	})
}

func TestMessagesThatAreNoRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		gone := batch.Message{Tenant: testTenant, Batch: "batch_gone", Line: 1, Length: 1}
		missing := batch.Message{Tenant: testTenant, Batch: testBatch, Line: 2, Length: 1}
		foreign := batch.Message{Tenant: "other", Batch: testBatch, Line: 1, Length: 1}
		var got []batch.Delivery
		for i, msg := range []batch.Message{gone, missing, foreign} {
			body, err := msg.Encode()
			must(t, err)
			got = append(got, batch.Delivery{MessageID: fmt.Sprint(i), Handle: fmt.Sprint(i), Receives: 1, Body: body})
		}
		got = append(got, batch.Delivery{MessageID: "junk", Handle: "junk", Receives: 1, Body: "junk"})
		for _, d := range got {
			w.hand(d)
		}
		if diff := cmp.Diff([]string{"1", "junk"}, p.Run(t.Context(), got)); diff != "" {
			t.Errorf("messages that stay: %s", diff)
		}
		if got := m.hidden["1"].Round(time.Second); got != 12*time.Minute+30*time.Second {
			t.Errorf("the message of a missing request rests for %v", got)
		}
		if got := m.hidden["junk"].Round(time.Second); got != 15*time.Minute {
			t.Errorf("the message that is none rests for %v", got)
		}
		if diff := cmp.Diff([]string{}, p.Run(t.Context(), nil)); diff != "" {
			t.Error(diff)
		}
		w.done(state.StatusPending)
	})
}

func TestBackoffIsKeptByWhoeverGetsTheMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.send(1)
		w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
			if before == 0 {
				return execute.Reply{StatusCode: 429, RetryAfter: time.Hour}, nil
			}
			return ok("{}")
		}
		first := &machine{world: w}
		// The backoff is stored and the message is not hidden for it: it comes back
		// at the next step.
		first.plan = func(op string, n int) fault {
			if op == "visibility" && n > 1 {
				return dieBefore
			}
			return none
		}
		next := []*machine{first}
		w.drive(3*time.Hour, func() *machine {
			if len(next) == 1 {
				next = nil
				return first
			}
			return &machine{world: w}
		})
		w.done(state.StatusCompleted)
		if gap := w.up.gaps()[0]; gap < time.Hour || gap > time.Hour+2*time.Second {
			t.Errorf("waited %v, want an hour", gap)
		}
	})
}

// TestNoMessageIsHiddenTooLong has an upstream ask for more time than the queue
// allows.
func TestNoMessageIsHiddenTooLong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ after, want time.Duration }{
		{11 * time.Hour, 11 * time.Hour},
		{12 * time.Hour, 11*time.Hour + 30*time.Minute},
	} {
		t.Run(tc.after.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1))
				w.send(1)
				w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
					return execute.Reply{StatusCode: 429, RetryAfter: tc.after}, nil
				}
				m := &machine{world: w}
				got := w.deliver(1)
				w.invoke(m, w.process(m, execute.Config{}), got)
				if hidden := m.hidden[got[0].Handle].Round(time.Second); hidden != tc.want {
					t.Errorf("it is hidden for %v, want %v", hidden, tc.want)
				}
			})
		})
	}
}

func TestBytesInHandAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines := input(12)
		for i := range lines { // too far apart for one read
			lines[i] = lines[i][:len(lines[i])-1] + strings.Repeat(" ", 100<<10) + "}"
		}
		w := newWorld(t, lines)
		w.send(1, 3, 5, 7, 9, 11)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			time.Sleep(time.Second)
			return ok("{}")
		}
		start := time.Now()
		m := &machine{world: w, plan: func(op string, _ int) fault {
			if at := time.Since(start); op == "receive" && at > 10*time.Millisecond && at < time.Second {
				w.broken("messages are received after %v, while calls wait for room", at)
			}
			return none
		}}
		p := w.process(m, execute.Config{Memory: 80<<20 + 3*1000<<10})
		if failed := w.invoke(m, p, w.deliver(4)); len(failed) > 0 {
			t.Errorf("%d messages stay", len(failed))
		}
		if w.up.peak != 2 || w.queue.Len() > 0 {
			t.Errorf("%d calls at once, want the 2 for which there is room; %d messages are left", w.up.peak, w.queue.Len())
		}
		w.kept()
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(40))
		w.sendAll(40)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			time.Sleep(time.Second)
			return ok("{}")
		}
		m := &machine{world: w}
		p := w.process(m, execute.Config{Places: 7})
		if failed := w.invoke(m, p, w.deliver(40)); len(failed) > 0 {
			t.Errorf("%d messages stay", len(failed))
		}
		w.done(allCompleted(40)...)
		if w.up.peak > 7 {
			t.Errorf("%d calls at once, want at most 7", w.up.peak)
		}
	})
}
