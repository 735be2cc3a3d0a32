package cli_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/cli"
)

func TestEstimate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args  []string
		stdin string
	}{
		"mixed":       {args: []string{"testdata/estimate/mixed.jsonl"}},
		"mixed-json":  {args: []string{"testdata/estimate/mixed.jsonl", "--json"}},
		"bad":         {args: []string{"testdata/validate/bad.jsonl"}},
		"no-requests": {args: []string{"-"}, stdin: "id,text\n"},
		"empty":       {args: []string{"-"}},
		"bad-seconds": {args: []string{"-", "--seconds", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := call{args: append([]string{"estimate"}, tt.args...), stdin: strings.NewReader(tt.stdin), noEnv: true}.run(t.Context(), t)
			golden(t, "estimate/"+name, r.session())
		})
	}
}

// estimated returns what "estimate --json" says of a request's body.
func estimated(t *testing.T, endpoint, body string, args ...string) (e struct {
	TokensIn  int64 `json:"tokens_in"`
	TokensOut int64 `json:"tokens_out_at_most"`
	Unbounded int   `json:"calls_without_bound"`
	AWS       struct {
		PerMillion float64 `json:"us_dollars_per_million_requests"`
	} `json:"aws"`
},
) {
	t.Helper()
	line := fmt.Sprintf(`{"custom_id":"a","method":"POST","url":%q,"body":%s}`, endpoint, body)
	r := call{args: append([]string{"estimate", "-", "--json"}, args...), stdin: strings.NewReader(line), noEnv: true}.run(t.Context(), t)
	if err := json.Unmarshal([]byte(r.stdout), &e); err != nil || r.code != cli.ExitOK {
		t.Fatal(err, r.session())
	}
	return e
}

func TestTokens(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		endpoint, body string
		in, out        int64
		unbounded      int
	}{
		"responses":      {"/v1/responses", `{"model":"m","instructions":"12345678","input":"1234","max_output_tokens":7}`, 3, 7, 0},
		"input items":    {"/v1/responses", `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"1234"}]}]}`, 1, 0, 1},
		"escapes":        {"/v1/embeddings", `{"model":"m","input":"\u00fc\u00fc\n\n\n\n"}`, 2, 0, 1},
		"texts":          {"/v1/embeddings", `{"model":"m","input":["1234","5"]}`, 2, 0, 1},
		"tokens":         {"/v1/embeddings", `{"model":"m","input":[1,22,333]}`, 3, 0, 1},
		"lists":          {"/v1/embeddings", `{"model":"m","input":[[1,22],[333]]}`, 3, 0, 1},
		"prompt":         {"/v1/completions", `{"model":"m","prompt":"12345","max_tokens":3,"n":4}`, 2, 12, 0},
		"no such bounds": {"/v1/completions", `{"model":"m","prompt":"1","max_tokens":-3}`, 1, 0, 1},
		"null bounds":    {"/v1/completions", `{"model":"m","prompt":"1","max_completion_tokens":null,"max_tokens":3,"n":null}`, 1, 3, 0},
		"odd":            {"/v1/completions", `{"model":"m","prompt":{"a":[{"b":"1234"}],"c":5}}`, 1, 0, 1},
	} {
		if got := estimated(t, tt.endpoint, tt.body); got.TokensIn != tt.in || got.TokensOut != tt.out || got.Unbounded != tt.unbounded {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What an estimate takes for AWS's cost is what docs/performance.md measured, and on a line between.
func TestCostIsTheMeasured(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`\| calls of \| 1 s \| 10 s \| 60 s \|\n.*\n\| \*\*US dollars a million\*\* \| \*\*([\d.]+)\*\* \| \*\*([\d.]+)\*\* \| \*\*([\d.]+)\*\* \|`)
	told := table.FindStringSubmatch(string(page))
	if told == nil {
		t.Fatal("docs/performance.md has no such table")
	}
	known := map[string]float64{}
	for i, seconds := range []string{"1", "10", "60"} {
		got := estimated(t, "/v1/embeddings", `{"model":"m","input":"x"}`, "--seconds", seconds).AWS.PerMillion
		if fmt.Sprintf("%.2f", got) != told[i+1] {
			t.Errorf("calls of %s s: %.2f dollars, and the page says %s", seconds, got, told[i+1])
		}
		known[seconds] = got
	}
	for seconds, want := range map[string]float64{
		"0.5": known["1"], "35": (known["10"] + known["60"]) / 2, "110": 2*known["60"] - known["10"],
	} {
		if got := estimated(t, "/v1/embeddings", `{"model":"m","input":"x"}`, "--seconds", seconds).AWS.PerMillion; math.Abs(got-want) > 1e-9 {
			t.Errorf("calls of %s s: %f dollars, want %f", seconds, got, want)
		}
	}
}

// An estimate tells 64 models apart, whatever a file has.
func TestEstimateBoundsModels(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, `{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"model":"m%d","input":"x"}}`+"\n", i, i)
	}
	var e struct {
		Calls  int
		Models []struct {
			Model string
			Calls int
		}
	}
	r := call{args: []string{"estimate", "-", "--json"}, stdin: strings.NewReader(lines.String()), noEnv: true}.run(t.Context(), t)
	if err := json.Unmarshal([]byte(r.stdout), &e); err != nil {
		t.Fatal(err)
	}
	if e.Calls != 100 || len(e.Models) != 65 || e.Models[0].Model != "(others)" || e.Models[0].Calls != 36 {
		t.Errorf("%+v", e)
	}
}
