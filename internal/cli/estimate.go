package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// maxEstimated bounds the models that an estimate tells one by one.
	maxEstimated = 64
	// otherModels stands for the models beyond.
	otherModels = "(others)"

	defaultSeconds = 10
	maxSeconds     = 900 // an invocation of a Lambda ends then
)

// A price is what a million requests cost in AWS where a call takes so many seconds.
type price struct{ seconds, dollars float64 }

// prices are measured by "make bench BENCH=budget", the table of docs/performance.md:
// batches of 50,000 with lines of 600 bytes and answers of 2,000, us-east-1,
// without free tiers. A test holds them against that page.
func prices() []price { return []price{{1, 2.22}, {10, 2.88}, {60, 8.00}} }

// dollarsPerMillion returns the price for calls of so many seconds: on the line
// between the two measured ones beside it, or on from the last two.
func dollarsPerMillion(seconds float64) float64 {
	known := prices()
	if seconds <= known[0].seconds {
		return known[0].dollars
	}
	low, high := known[0], known[1]
	for _, next := range known[2:] {
		if seconds > high.seconds {
			low, high = high, next
		}
	}
	return low.dollars + (seconds-low.seconds)*(high.dollars-low.dollars)/(high.seconds-low.seconds)
}

func (a *app) estimateCommand() *cobra.Command {
	var l limits
	seconds := 0.0
	cmd := &cobra.Command{
		Use:   "estimate FILE",
		Short: "Estimate the calls, tokens and AWS cost of a file of requests, offline",
		Long: `Estimate the calls, bytes and tokens of a file of requests, and what its batch costs
in AWS, without sending anything. FILE is JSONL, which gzip may have compressed;
"-" reads standard input.

  calls       one a request; retries come on top
  tokens in   a token for every 4 bytes of text in messages, input, instructions,
              prompt and system, and of tools as JSON; one for each number of a
              list of tokens; images, audio and files in a request are not counted
  tokens out  the most that may come back: max_completion_tokens,
              max_output_tokens or max_tokens, times n; requests that name none are
              counted apart
  AWS         the deployment's own work, by what "make bench BENCH=budget" measured
              for calls of 1, 10 and 60 s (docs/performance.md): us-east-1,
              on demand, without free tiers

What the provider bills is not in it: only the provider knows its prices.`,
		Example: `  musketry estimate requests.jsonl
  musketry estimate requests.jsonl --seconds 30
  musketry estimate requests.jsonl --json | jq .tokens_in`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.check(); err != nil {
				return usageError(cmd, err)
			}
			if seconds <= 0 || seconds > maxSeconds {
				return usageError(cmd, fmt.Errorf("--seconds is how long a call takes, more than 0 and at most %d", maxSeconds))
			}
			return a.estimate(cmd.Context(), args[0], l, seconds)
		},
	}
	cmd.Flags().Float64Var(&seconds, "seconds", defaultSeconds, "seconds that a call takes in the mean")
	l.register(cmd.Flags())
	return cmd
}

func (a *app) estimate(ctx context.Context, name string, l limits, seconds float64) error {
	src, err := openSource(ctx, name, a.env.Stdin)
	if err != nil {
		return err
	}
	defer src.close()
	est := &estimator{models: map[string]*load{}}
	f, err := judgeFile(src, l.rules(""), l.fileBytes, est.add)
	if err != nil {
		return err
	}
	if len(est.models) == 0 {
		return errors.New(problemAt(src.name, f.errs[0]))
	}
	e := est.estimate(src.name, seconds)
	if a.json {
		err = writeJSON(a.env.Stdout, e)
	} else {
		err = write(a.env.Stdout, e.words())
	}
	if len(f.errs) > 0 && err == nil {
		a.note("%s would be refused as it is: %s. See them with: musketry validate %s",
			src.name, number(len(f.errs)+f.more, "error"), name)
	}
	return err
}

// A load is what requests ask of a provider.
type load struct {
	Model     string `json:"model"`
	Calls     int    `json:"calls"`
	Bytes     int64  `json:"bytes"` // of the lines, newlines excluded
	TokensIn  int64  `json:"tokens_in"`
	TokensOut int64  `json:"tokens_out_at_most"`
	Unbounded int    `json:"calls_without_bound"` // requests that do not say how many tokens may come back
}

func (l *load) plus(o load) {
	l.Calls, l.Bytes, l.Unbounded = l.Calls+o.Calls, l.Bytes+o.Bytes, l.Unbounded+o.Unbounded
	l.TokensIn, l.TokensOut = l.TokensIn+o.TokensIn, l.TokensOut+o.TokensOut
}

// An estimator adds up lines, in memory bounded by the models that it tells apart.
type estimator struct{ models map[string]*load }

// add adds a line; one that is no request is passed over.
func (e *estimator) add(ln batch.Line) {
	if ln.TooLong {
		return
	}
	in, err := batch.DecodeInput(ln.Text)
	if err != nil {
		return
	}
	one := weigh(in.Body)
	one.Bytes = int64(len(ln.Text))
	name := in.Model
	if _, known := e.models[name]; !known && len(e.models) >= maxEstimated {
		name = otherModels
	}
	sum, known := e.models[name]
	if !known {
		sum = &load{Model: strings.Clone(name)}
		e.models[sum.Model] = sum
	}
	sum.plus(one)
}

// An estimate is what --json says.
type estimate struct {
	Object string `json:"object"`
	File   string `json:"file"`
	load          // of all models, Model empty

	Models []load  `json:"models"`
	AWS    awsCost `json:"aws"`
}

type awsCost struct {
	Dollars    float64 `json:"us_dollars"`
	PerMillion float64 `json:"us_dollars_per_million_requests"`
	Seconds    float64 `json:"seconds_per_call"`
	Source     string  `json:"source"`
}

const costSource = "make bench BENCH=budget (docs/performance.md): us-east-1, on demand, without free tiers, lines of 600 bytes, answers of 2,000"

func (e *estimator) estimate(file string, seconds float64) estimate {
	out := estimate{Object: "estimate", File: file}
	for _, l := range slices.SortedFunc(maps.Values(e.models), func(a, b *load) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Model, b.Model))
	}) {
		out.Models = append(out.Models, *l)
		out.plus(*l)
	}
	per := dollarsPerMillion(seconds)
	out.AWS = awsCost{Dollars: per * float64(out.Calls) / 1e6, PerMillion: per, Seconds: seconds, Source: costSource}
	return out
}

func (e estimate) words() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, l load) {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t\n", name, l.Calls, size(l.Bytes), l.TokensIn, l.TokensOut, l.Unbounded)
	}
	fmt.Fprint(w, "MODEL\tCALLS\tBYTES\tTOKENS IN\tOUT AT MOST\tNO BOUND\t\n")
	for _, l := range e.Models {
		row(cmp.Or(l.Model, "(none)"), l)
	}
	if len(e.Models) > 1 {
		row("all", e.load)
	}
	_ = w.Flush() // into memory
	fmt.Fprintf(&text, "\nTokens are an estimate: one for every 4 bytes of text.\n")
	if e.Unbounded > 0 {
		fmt.Fprintf(&text, "%s no max_completion_tokens, max_output_tokens or max_tokens: as much comes back as the model likes.\n",
			sayNo(e.Unbounded))
	}
	fmt.Fprintf(&text, "AWS: %s, at %.2f dollars a million requests whose calls take %g s.\n  By %s.\n"+
		"What the provider bills comes on top.\n", dollars(e.AWS.Dollars), e.AWS.PerMillion, e.AWS.Seconds, costSource)
	return text.String()
}

func sayNo(n int) string {
	if n == 1 {
		return "1 request says"
	}
	return fmt.Sprintf("%d requests say", n)
}

// dollars writes a small amount so that it is not nothing.
func dollars(d float64) string {
	switch {
	case d < 0.01:
		return "less than 0.01 dollars"
	case d < 100:
		return fmt.Sprintf("about %.2f dollars", d)
	}
	return fmt.Sprintf("about %.0f dollars", d)
}
