package execute

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

// TestWhatAnAnswerSaysOfItsRoute demands what the fleet learns of a route from an answer.
func TestWhatAnAnswerSaysOfItsRoute(t *testing.T) {
	t.Parallel()
	now := time.Now()
	minute := limit.At(now.Add(time.Minute))
	for name, tc := range map[string]struct {
		reply Reply
		waits bool
		want  limit.Result
	}{
		"an answer":              {Reply{StatusCode: 200, Tokens: state.Tokens{Total: 1}}, false, limit.Result{Kind: limit.Answered, Tokens: 1}},
		"one that counts none":   {Reply{StatusCode: 200}, false, limit.Result{Kind: limit.Answered, Tokens: -1}},
		"a bad request":          {Reply{StatusCode: 400}, false, limit.Result{Kind: limit.Answered, Tokens: -1}},
		"a key that is refused":  {Reply{StatusCode: 401}, false, limit.Result{Kind: limit.Denied, Tokens: -1}},
		"a key that may not":     {Reply{StatusCode: 403}, false, limit.Result{Kind: limit.Denied, Tokens: -1}},
		"too many requests":      {Reply{StatusCode: 429}, false, limit.Result{Kind: limit.Refused, Tokens: -1}},
		"too many, for a minute": {Reply{StatusCode: 429, RetryAfter: time.Minute}, false, limit.Result{Kind: limit.Refused, Tokens: -1, Until: minute}},
		"overloaded":             {Reply{StatusCode: 503, RetryAfter: time.Minute}, false, limit.Result{Kind: limit.Refused, Tokens: -1, Until: minute}},
		"one request too large": {
			Reply{StatusCode: 429, RetryAfter: time.Minute, Body: []byte(`{"error":{"message":"Request too large for m"}}`)},
			false,
			limit.Result{Kind: limit.Answered, Tokens: -1},
		},
		"an error of theirs":     {Reply{StatusCode: 500}, false, limit.Result{Kind: limit.Failed, Tokens: -1}},
		"another error":          {Reply{StatusCode: 599}, false, limit.Result{Kind: limit.Failed, Tokens: -1}},
		"a spent quota":          {Reply{StatusCode: 429, ErrorCode: "insufficient_quota"}, true, limit.Result{Kind: limit.Spent, Tokens: -1}},
		"one that nobody fills":  {Reply{StatusCode: 429, ErrorCode: "insufficient_quota"}, false, limit.Result{Kind: limit.Answered, Tokens: -1}},
		"a timeout of a request": {Reply{StatusCode: 408}, false, limit.Result{Kind: limit.Answered, Tokens: -1}},
	} {
		got := way{waits: tc.waits}.says(tc.reply, now)
		got.Says = tc.want.Says // what a rate says is tested where it is read
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestWhatNoAnswerSaysOfARoute demands the same of calls without an answer.
func TestWhatNoAnswerSaysOfARoute(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason state.Reason
		failed error
		want   limit.Kind
	}{
		"too slow":           {state.Timeout{}, nil, limit.Failed},
		"a broken one":       {state.NetworkError{}, &CallError{Kind: CallBroken}, limit.Failed},
		"too long an answer": {state.ResponseTooLarge{}, &CallError{Kind: CallTooLarge}, limit.Answered},
		"no key":             {nil, &CallError{Kind: CallNoKey}, limit.NoKey},
		"a refused key":      {nil, &CallError{Kind: CallDenied}, limit.Denied},
		"nothing sent":       {nil, &CallError{Kind: CallUnsent}, limit.Unfit},
		"nothing to send":    {state.RequestBuilderError{}, &CallError{Kind: CallUnsendable}, limit.Aborted},
		"its own end":        {nil, errors.New("canceled"), limit.Aborted},
		"none":               {nil, nil, limit.Aborted},
	} {
		if got := unanswered(verdict{reason: tc.reason}, tc.failed); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// TestEstimate demands how many tokens a call may take: one for each four bytes of its
// body, and what its answers may have.
func TestEstimate(t *testing.T) {
	t.Parallel()
	limited := []way{{}, {route: route.Route{TPM: 1}}}
	for name, tc := range map[string]struct {
		body   string
		ways   []way
		tokens int64
		bound  bool
	}{
		"a route without a limit": {`{"max_tokens":5}`, []way{{}}, 0, false},
		"no bound":                {`{"a":1}`, limited, 7/4 + 1 + 1_000, false},
		"a bound":                 {`{"max_tokens":5}`, limited, 16/4 + 1 + 5, true},
		"three answers":           {`{"n":3,"max_tokens":5}`, limited, 22/4 + 1 + 15, true},
		"the newer bound first":   {`{"max_tokens":5,"max_completion_tokens":7}`, limited, 42/4 + 1 + 7, true},
		"a bound of one":          {`{"max_output_tokens":1}`, limited, 23/4 + 1 + 1, true},
		"no answer":               {`{"n":0,"max_tokens":0}`, limited, 22/4 + 1 + 1_000, false},
		"words":                   {`{"n":"3","max_tokens":"x"}`, limited, 26/4 + 1 + 1_000, false},
		"what is no JSON":         {strings.Repeat("x", 80), limited, 80, false},
	} {
		tokens, bound := estimate([]byte(tc.body), tc.ways)
		if tokens != tc.tokens || bound != tc.bound {
			t.Errorf("%s: %d, %t; want %d, %t", name, tokens, bound, tc.tokens, tc.bound)
		}
	}
}

// TestRefusals demands whose fault a 401 is: the request's for ten minutes after an answer
// that only who is known gets, and else the key's.
func TestRefusals(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w, other := way{route: route.Route{ID: "r"}}, way{route: route.Route{ID: "other"}}
	r := newRefusals()
	refused := func(w way, status int, after time.Duration, want bool) {
		t.Helper()
		if got := r.refused(w, status, now.Add(after)); got != want {
			t.Errorf("a %d after %v refuses the key: %t", status, after, got)
		}
	}
	refused(w, 401, 0, true)
	for _, status := range []int{500, 503, 408, 429} {
		refused(w, status, 0, false)
	}
	refused(w, 403, 0, true)
	refused(w, 400, 0, false) // it knows who asks
	refused(w, 401, 0, false)
	refused(w, 403, trusted, false)
	refused(w, 401, trusted+1, true)
	refused(other, 401, 0, true)
	if !r.tell("a", now) || r.tell("a", now.Add(tellEvery-1)) || !r.tell("b", now) || !r.tell("a", now.Add(tellEvery)) {
		t.Error("the log is not told once a minute")
	}
}

// TestSeconds has messages come back in whole seconds, and never too early.
func TestSeconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{-time.Hour: 0, 0: 0, 1: 1, time.Second - 2: 1, time.Second - 1: 1, time.Second: 1, time.Second + 1: 2} { //nolint:exhaustive // times
		if got := seconds(d); got != time.Duration(want)*time.Second {
			t.Errorf("%v becomes %v", d, got)
		}
	}
}
