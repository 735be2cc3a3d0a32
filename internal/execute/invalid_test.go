package execute_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// noAnswer is an answer that is none, which took 7 tokens.
func noAnswer() (execute.Reply, error) {
	return execute.Reply{
		StatusCode: 200, Body: []byte("<html>"), Tokens: state.Tokens{Total: 7}, Message: "the provider's words",
		Verdict: answer.Verdict{Sense: answer.Invalid, Why: "it is a page, not JSON"},
	}, nil
}

// TestAnswersThatAreNone tries them again three times at most, whatever was refused before, keeps their bytes and their tokens, and
// says why they were not tried again.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer func(before int) (execute.Reply, error)
		stop   time.Duration // before the batch's deadline, which is in a day
		calls  int
		done   state.Status
		says   []string
		not    string // what it does not say
	}{
		"for ever": {
			answer: func(int) (execute.Reply, error) { return noAnswer() }, calls: 4, done: state.StatusFailed,
			says: []string{
				`"code":"invalid_answer"`, "it is a page, not JSON: the provider's words. It was not tried again: after such answers it is tried again 3 times at most (max_retries).",
				`"body":"<html>"`,
			},
		},
		"three times": {
			answer: func(before int) (execute.Reply, error) {
				if before < 3 {
					return noAnswer()
				}
				return ok("{}")
			},
			calls: 4, done: state.StatusCompleted,
		},
		"three times after six refusals": {
			answer: func(before int) (execute.Reply, error) {
				switch {
				case before < 6:
					return status(500)
				case before < 9:
					return noAnswer()
				}
				return ok("{}")
			},
			calls: 10, done: state.StatusCompleted,
		},
		"held back by a filter": {
			answer: func(int) (execute.Reply, error) {
				return execute.Reply{StatusCode: 200, Body: []byte("{}"), Tokens: state.Tokens{Total: 7}, Verdict: answer.Verdict{Sense: answer.Held, Why: "it names a filter"}}, nil
			},
			calls: 1, done: state.StatusFailed, says: []string{`"code":"invalid_answer"`, `it names a filter"`},
		},
		"an error that means a status": {
			answer: func(before int) (execute.Reply, error) {
				if before < 5 {
					return execute.Reply{StatusCode: 200, Body: []byte("{}"), Verdict: answer.Verdict{Sense: answer.Refused, Status: 503}}, nil
				}
				return ok("{}")
			},
			calls: 6, done: state.StatusCompleted,
		},
		"asked for": {
			answer: func(int) (execute.Reply, error) {
				return execute.Reply{StatusCode: 400, Body: []byte("{}"), ShouldRetry: "true", Tokens: state.Tokens{Total: 7}}, nil
			},
			calls: 4, done: state.StatusFailed, says: []string{`"code":"http_400"`, "after such answers it is tried again 3 times at most (max_retries)"},
		},
		"a wait that is too long": {
			answer: func(int) (execute.Reply, error) {
				return execute.Reply{StatusCode: 503, Body: []byte("{}"), RetryAfter: 90 * 24 * time.Hour, Tokens: state.Tokens{Total: 7}}, nil
			},
			calls: 1, done: state.StatusFailed, says: []string{`"code":"http_503"`, "the upstream asks for a wait of 2160h0m0s, which is longer than the ", "that the batch has left (deadline)"},
		},
		"a wait that is too long for when retries stop": {
			answer: func(int) (execute.Reply, error) {
				return execute.Reply{StatusCode: 503, Body: []byte("{}"), RetryAfter: 20 * time.Hour, Tokens: state.Tokens{Total: 7}}, nil
			},
			stop: 6 * time.Hour, calls: 1, done: state.StatusFailed, says: []string{"which is longer than the 18h0m0s that the batch has left (deadline)"},
		},
		"a wait that is too long for when retries stop, and a hint against it": {
			answer: func(int) (execute.Reply, error) {
				return execute.Reply{StatusCode: 503, ShouldRetry: "false", Body: []byte("{}"), RetryAfter: 20 * time.Hour, Tokens: state.Tokens{Total: 7}}, nil
			},
			stop: 6 * time.Hour, calls: 1, done: state.StatusFailed, says: []string{`"error":null`}, not: "It was not tried again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1), func(b *batch.Batch) { b.Policy.StopBeforeDeadline = tc.stop })
				w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) { return tc.answer(before) }
				w.send(1)
				w.drive(30*time.Minute, w.one())
				w.done(tc.done)
				if diff := cmp.Diff([]int{tc.calls}, w.up.called(1)); diff != "" {
					t.Errorf("calls: %s", diff)
				}
				for _, says := range tc.says {
					if !strings.Contains(w.line(1), says) {
						t.Errorf("the line is %s, want %s in it", w.line(1), says)
					}
				}
				if tc.not != "" && strings.Contains(w.line(1), tc.not) {
					t.Errorf("the line is %s, with %s in it", w.line(1), tc.not)
				}
				if p, ok := w.record(1).Phase.(state.Failed); ok && p.Tokens.Total != 7 {
					t.Errorf("it took %+v", p.Tokens)
				}
			})
		})
	}
}
