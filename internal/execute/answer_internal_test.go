package execute

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// TestJudge checks what the end of a call means for its request.
func TestJudge(t *testing.T) {
	t.Parallel()
	call := func(kind CallKind) error {
		return fmt.Errorf("wrapped: %w", &CallError{Kind: kind, Text: "why", Limit: 10})
	}
	type want struct {
		reason   state.Reason
		end      cause // causeFailed: none
		answered bool
		unsent   string
		unknown  string
		doubts   int // 0: retry.Unlimited
	}
	for name, tc := range map[string]struct {
		aborted error
		reply   Reply
		waits   bool
		err     error
		want    want
	}{
		"an answer":               {reply: Reply{StatusCode: 200}, want: want{answered: true}},
		"an answer after the end": {aborted: end(causeBatchStopping), reply: Reply{StatusCode: 200}, want: want{answered: true}},
		"an answer with an error": {
			reply: Reply{StatusCode: 200, Verdict: answer.Verdict{Sense: answer.Refused, Status: 400}},
			want:  want{answered: true, reason: state.ErrorInBody{Status: 200, Means: 400}},
		},
		"an answer with an error that is retried": {
			reply: Reply{StatusCode: 200, Verdict: answer.Verdict{Sense: answer.Refused, Status: 429}},
			want:  want{answered: true, reason: state.ErrorInBody{Status: 200, Means: 429, Again: true}},
		},
		"an answer with a quota that is used up": {
			reply: Reply{StatusCode: 200, Verdict: answer.Verdict{Sense: answer.Refused, Status: 429}, ErrorCode: "insufficient_quota"},
			want:  want{answered: true, reason: state.ErrorInBody{Status: 200, Means: 429}},
		},
		"an answer that is none": {
			reply: Reply{StatusCode: 200, Verdict: answer.Verdict{Sense: answer.Invalid, Why: "it is empty"}},
			want:  want{answered: true, reason: state.InvalidAnswer{Status: 200, Error: "it is empty", Again: true}, doubts: 3},
		},
		"an answer that a filter held back": {
			reply: Reply{StatusCode: 200, Verdict: answer.Verdict{Sense: answer.Held, Why: "it is empty"}},
			want:  want{answered: true, reason: state.InvalidAnswer{Status: 200, Error: "it is empty"}, doubts: 3},
		},
		"a status that is not retried, with a hint": {
			reply: Reply{StatusCode: 400, ShouldRetry: "true"},
			want:  want{answered: true, reason: state.RetryableHTTPStatus{Status: 400}, doubts: 3},
		},
		"a status that is retried, with a hint": {
			reply: Reply{StatusCode: 503, ShouldRetry: "true"},
			want:  want{answered: true, reason: state.RetryableHTTPStatus{Status: 503}},
		},
		"a status that is retried, with a hint against it": {
			reply: Reply{StatusCode: 500, ShouldRetry: "false"},
			want:  want{answered: true, reason: state.NonRetryableHTTPStatus{Status: 500}},
		},
		"no pause, with a hint against it": {
			reply: Reply{StatusCode: 503, ShouldRetry: "false"},
			want:  want{answered: true, reason: state.NonRetryableHTTPStatus{Status: 503}},
		},
		"a pause, with a hint against it": {
			reply: Reply{StatusCode: 503, ShouldRetry: "false", RetryAfter: time.Minute},
			want:  want{answered: true, reason: state.RetryableHTTPStatus{Status: 503}},
		},
		"a pause beyond the deadline, with a hint against it": {
			reply: Reply{StatusCode: 429, ShouldRetry: "false", RetryAfter: time.Hour},
			want:  want{answered: true, reason: state.NonRetryableHTTPStatus{Status: 429}},
		},
		"a status that is retried": {
			reply: Reply{StatusCode: 503}, want: want{answered: true, reason: state.RetryableHTTPStatus{Status: 503}},
		},
		"a status that is not retried": {
			reply: Reply{StatusCode: 400}, want: want{answered: true, reason: state.NonRetryableHTTPStatus{Status: 400}},
		},
		"a quota that is used up": {
			reply: Reply{StatusCode: 429, ErrorCode: "insufficient_quota"},
			want:  want{answered: true, reason: state.NonRetryableHTTPStatus{Status: 429}},
		},
		"a quota for which somebody may pay": {
			reply: Reply{StatusCode: 429, ErrorCode: "insufficient_quota"}, waits: true,
			want: want{answered: true, reason: state.RetryableHTTPStatus{Status: 429}},
		},
		"a balance that is used up": {
			reply: Reply{StatusCode: 402, ErrorCode: "insufficient_balance"},
			want:  want{answered: true, reason: state.NonRetryableHTTPStatus{Status: 402}},
		},
		"a balance that somebody may fill": {
			reply: Reply{StatusCode: 200, Verdict: answer.Verdict{Sense: answer.Refused, Status: 402}}, waits: true,
			want: want{answered: true, reason: state.ErrorInBody{Status: 200, Means: 402, Again: true}},
		},
		"another status with the quota's code": {
			reply: Reply{StatusCode: 403, ErrorCode: "insufficient_quota"}, waits: true,
			want: want{answered: true, reason: state.NonRetryableHTTPStatus{Status: 403}},
		},
		"broken":     {err: call(CallBroken), want: want{reason: state.NetworkError{Error: "why"}}},
		"timed out":  {err: call(CallTimedOut), want: want{reason: state.Timeout{Error: "why"}}},
		"too large":  {err: call(CallTooLarge), want: want{reason: state.ResponseTooLarge{Limit: 10}}},
		"unsendable": {err: call(CallUnsendable), want: want{reason: state.RequestBuilderError{Error: "why"}}},
		"unsent":     {err: call(CallUnsent), want: want{end: causeUnsent, unsent: "why"}},
		"unforeseen": {
			err:  errors.New("quotes an answer"),
			want: want{reason: state.NetworkError{Error: "the reason is not known"}, unknown: "*errors.errorString"},
		},
		"a panic": {
			err: &panicError{what: "quotes an answer"}, want: want{reason: state.TaskTerminated{Error: "an error of this service"}},
		},
		"the attempt's limit": {
			aborted: errCallLimit, err: call(CallBroken),
			want: want{reason: state.Timeout{Error: "the attempt took longer than 1m0s"}},
		},
		"a deadline": {
			err:  context.DeadlineExceeded,
			want: want{reason: state.Timeout{Error: "the attempt took longer than 1m0s"}},
		},
		"the batch stops":        {aborted: end(causeBatchStopping), err: call(CallBroken), want: want{end: causeBatchStopping}},
		"its owner stops it":     {aborted: end(causeRequestEnded), err: call(CallBroken), want: want{end: causeRequestEnded}},
		"unsent as it stops":     {aborted: end(causeBatchEnded), err: call(CallUnsent), want: want{end: causeBatchEnded}},
		"the invocation's end":   {aborted: context.Canceled, err: context.Canceled, want: want{end: causeWorkerStopping}},
		"no heartbeat was heard": {aborted: end(causeWorkerStopping), err: call(CallTimedOut), want: want{end: causeWorkerStopping}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := judge(way{policy: retry.Default(), waits: tc.waits}, time.Minute, time.Hour, tc.aborted, tc.reply, tc.err)
			got := want{reason: v.reason, answered: v.answered, unsent: v.unsent, unknown: v.unknown, doubts: v.doubts}
			if v.doubts == retry.Unlimited {
				got.doubts = 0
			}
			if v.end != nil {
				got.end, _ = causeOf(v.end)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("the verdict (-want +got):\n%s", diff)
			}
			if v.answered != (v.reply.StatusCode > 0) {
				t.Errorf("the reply is %+v", v.reply)
			}
		})
	}
}
