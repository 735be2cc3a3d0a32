package retry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/retry"
)

func TestClassifyEveryStatus(t *testing.T) {
	t.Parallel()
	p := retry.Default()
	for status := -1; status <= 1000; status++ {
		want := retry.Permanent
		switch {
		case status >= 200 && status <= 299:
			want = retry.Success
		case status == 408, status == 409, status == 425, status == 429, status == 498, status == 499, status >= 500 && status <= 599:
			want = retry.Retryable
		}
		if got := p.Classify(status, ""); got != want {
			t.Errorf("Classify(%d) = %d, want %d", status, got, want)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	only := func(list string) retry.Policy {
		p := retry.Default()
		s, err := retry.ParseStatuses(list)
		if err != nil {
			t.Fatal(err)
		}
		p.Retryable = s
		return p
	}
	cases := map[string]struct {
		policy retry.Policy
		status int
		code   string
		want   retry.Class
	}{
		"rate limited":                      {retry.Default(), 429, "rate_limit_exceeded", retry.Retryable},
		"quota exhausted":                   {retry.Default(), 429, "insufficient_quota", retry.Permanent},
		"quota exhausted, listed":           {only("429"), 429, "insufficient_quota", retry.Permanent},
		"quota exhausted, Moonshot":         {retry.Default(), 429, "exceeded_current_quota_error", retry.Permanent},
		"an account that nobody pays for":   {retry.Default(), 429, "billing_not_active", retry.Permanent},
		"nothing left":                      {retry.Default(), 402, "insufficient_balance", retry.Permanent},
		"nothing left, listed":              {only("402"), 402, "", retry.Permanent},
		"quota's code, another status":      {retry.Default(), 503, "insufficient_quota", retry.Retryable},
		"quota's code on success":           {retry.Default(), 200, "insufficient_quota", retry.Success},
		"almost quota's code":               {retry.Default(), 429, "insufficient_quota ", retry.Retryable},
		"not found":                         {retry.Default(), 404, "model_not_found", retry.Permanent},
		"not found, listed":                 {only("404"), 404, "model_not_found", retry.Retryable},
		"the list holds whatever it is":     {only("200,3xx"), 200, "", retry.Retryable},
		"a redirect, listed":                {only("200,3xx"), 302, "", retry.Retryable},
		"a redirect":                        {retry.Default(), 302, "", retry.Permanent},
		"not listed":                        {only("429"), 503, "", retry.Permanent},
		"not listed, and a success":         {only("429"), 204, "", retry.Success},
		"with no list nothing is retryable": {retry.Policy{}, 500, "", retry.Permanent},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.policy.Classify(c.status, c.code); got != c.want {
				t.Errorf("Classify(%d, %q) = %d, want %d", c.status, c.code, got, c.want)
			}
		})
	}
}

// TestHear holds a hint against what an answer means without one: a quota that is spent is heard before it, and so is a wait
// that ends in time.
func TestHear(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		status   int
		code     string
		hint     retry.Hint
		want     retry.Class
		doubtful bool
	}{
		"again, although it is not listed":      {400, "", retry.Hint{Should: "true"}, retry.Retryable, true},
		"again, a redirect":                     {302, "", retry.Hint{Should: "True"}, retry.Retryable, true},
		"again, as it would be anyway":          {500, "", retry.Hint{Should: "true"}, retry.Retryable, false},
		"a success":                             {200, "", retry.Hint{Should: "true"}, retry.Success, false},
		"not again":                             {500, "", retry.Hint{Should: "false"}, retry.Permanent, false},
		"not again, a conflict":                 {409, "", retry.Hint{Should: "false"}, retry.Permanent, false},
		"not again, but soon":                   {500, "", retry.Hint{Should: "false", Soon: true}, retry.Permanent, false},
		"not again, a rate":                     {429, "", retry.Hint{Should: "false"}, retry.Permanent, false},
		"not again, a rate that ends in time":   {429, "", retry.Hint{Should: "false", Soon: true}, retry.Retryable, false},
		"not again, a pause that ends in time":  {503, "", retry.Hint{Should: "FALSE", Soon: true}, retry.Retryable, false},
		"again, with a quota that is spent":     {429, "insufficient_quota", retry.Hint{Should: "true"}, retry.Permanent, false},
		"a hint that says nothing":              {400, "", retry.Hint{Should: "maybe"}, retry.Permanent, false},
		"another that says nothing of a status": {503, "", retry.Hint{Should: "0"}, retry.Retryable, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, doubtful := retry.Default().Hear(c.status, c.code, c.hint); got != c.want || doubtful != c.doubtful {
				t.Errorf("Hear(%d, %q, %+v) = %d, %t", c.status, c.code, c.hint, got, doubtful)
			}
		})
	}
}

func TestParseStatuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		want retry.Statuses
		bad  string // what the error quotes
	}{
		"429":                  {want: retry.Statuses{{429, 429}}},
		"408,429,5xx":          {want: retry.Statuses{{408, 408}, {429, 429}, {500, 599}}},
		" 408 ,\t5XX ":         {want: retry.Statuses{{408, 408}, {500, 599}}},
		"1xx,2xx":              {want: retry.Statuses{{100, 199}, {200, 299}}},
		"100,599":              {want: retry.Statuses{{100, 100}, {599, 599}}},
		"":                     {bad: `""`},
		"429,":                 {bad: `""`},
		",":                    {bad: `""`},
		"0xx":                  {bad: "0-99"},
		"6xx":                  {bad: "600-699"},
		"99":                   {bad: "99-99"},
		"600":                  {bad: "600-600"},
		"-429":                 {bad: "-429"},
		"xx":                   {bad: `"xx"`},
		"55xx":                 {bad: `"55xx"`},
		"-xx":                  {bad: `"-xx"`},
		"5x":                   {bad: `"5x"`},
		"500-599":              {bad: `"500-599"`},
		"429;500":              {bad: `"429;500"`},
		"4e2":                  {bad: `"4e2"`},
		"0x190":                {bad: `"0x190"`},
		"429.0":                {bad: `"429.0"`},
		"99999999999999999999": {bad: "99999999999999999999"},
	}
	for list, c := range cases {
		t.Run(list, func(t *testing.T) {
			t.Parallel()
			got, err := retry.ParseStatuses(list)
			if c.bad != "" {
				if !errors.Is(err, retry.ErrPolicy) || !strings.Contains(err.Error(), c.bad) || got != nil {
					t.Errorf("ParseStatuses(%q) = %v, %v, want an error naming %s", list, got, err, c.bad)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("ParseStatuses(%q): %v (-want +got):\n%s", list, err, diff)
			}
		})
	}
}

func TestSaysRate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		code   string
		want   bool
	}{
		{429, "", true},
		{429, "429", true}, // Azure's, OpenRouter's and LiteLLM's
		{429, "1302", true},
		{429, "rate_limit_exceeded", true},
		{429, "RESOURCE_EXHAUSTED", true},
		{429, "REQUEST_LIMIT_EXCEEDED", true}, // Databricks'
		{429, "engine_overloaded", false},
		{503, "", false},
		{503, "503", false},
		{503, "slow_down", true},
		{500, "rate_limit_exceeded", false},
	} {
		if got := retry.SaysRate(tc.status, tc.code); got != tc.want {
			t.Errorf("SaysRate(%d, %q) = %v, want %v", tc.status, tc.code, got, tc.want)
		}
	}
}

func TestParsedStatusesAreValid(t *testing.T) {
	t.Parallel()
	entry := rapid.OneOf(rapid.StringMatching(`[0-9]{0,4}`), rapid.StringMatching(`[0-9][xX]{1,3}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		list := strings.Join(rapid.SliceOfN(entry, 1, 4).Draw(t, "entries"), ",")
		s, err := retry.ParseStatuses(list)
		if err != nil {
			if !errors.Is(err, retry.ErrPolicy) {
				t.Fatalf("error %v, want ErrPolicy", err)
			}
			return
		}
		p := retry.Default()
		p.Retryable = s
		if err := p.Validate(); err != nil {
			t.Fatalf("%q parsed to %v: %v", list, s, err)
		}
		for _, r := range s {
			if !s.Has(r.From) || !s.Has(r.To) {
				t.Fatalf("%v lacks an end of %v", s, r)
			}
		}
		if s.Has(99) || s.Has(600) || s.Has(0) {
			t.Fatalf("%v has what is no status", s)
		}
	})
}

func TestCodeLabel(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"": "", "insufficient_quota": "insufficient_quota", "rate_limit_exceeded": "rate_limit_exceeded",
		"server_error": "server_error", "context_length_exceeded": "context_length_exceeded",
		"model_not_found":     "model_not_found",
		"Rate_Limit_Exceeded": "other", "rate_limit_exceeded ": "other", "other": "other", "\x00": "other",
		strings.Repeat("x", 10_000): "other",
	} {
		if got := retry.CodeLabel(code); got != want {
			t.Errorf("CodeLabel(%.40q) = %q, want %q", code, got, want)
		}
	}
}

// TestLabelsAreFew holds the number of labels that an upstream can bring about.
func TestLabelsAreFew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.String().Draw(t, "code")
		if got := retry.CodeLabel(code); got != code && got != "other" {
			t.Fatalf("CodeLabel(%q) = %q", code, got)
		}
		if got := retry.CodeLabel(retry.CodeLabel(code)); got != retry.CodeLabel(code) {
			t.Fatalf("the label of a label is %q", got)
		}
	})
}
