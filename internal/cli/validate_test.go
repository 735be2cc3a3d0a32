package cli_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/cli"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args  []string
		stdin string
	}{
		"good":           {args: []string{"testdata/validate/good.jsonl"}},
		"good-json":      {args: []string{"testdata/validate/good.jsonl", "--json"}},
		"bad":            {args: []string{"testdata/validate/bad.jsonl"}},
		"bad-json":       {args: []string{"testdata/validate/bad.jsonl", "--json"}},
		"other-endpoint": {args: []string{"testdata/validate/good.jsonl", "--endpoint", "/v1/embeddings"}},
		"extra-endpoint": {args: []string{"-", "--extra-endpoint", "/v1/rerank"}, stdin: `{"custom_id":"a","method":"POST","url":"/v1/rerank","body":{}}`},
		"no-endpoint":    {args: []string{"-"}, stdin: `{"custom_id":"a","method":"POST","url":"/v1/rerank","body":{}}`},
		"many":           {args: []string{"-"}, stdin: strings.Repeat("{}\n", 102)},
		"too-large":      {args: []string{"testdata/validate/good.jsonl", "--max-file-bytes", "200"}},
		"csv":            {args: []string{"testdata/make-batch/questions.csv"}},
		"empty":          {args: []string{"-"}},
		"no-file":        {args: []string{"testdata/validate/nothing.jsonl"}},
		"directory":      {args: []string{"testdata"}},
		"bad-limit":      {args: []string{"-", "--max-line-bytes", "100000000"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := call{args: append([]string{"validate"}, tt.args...), stdin: strings.NewReader(tt.stdin), noEnv: true}.run(t.Context(), t)
			golden(t, "validate/"+name, r.session())
		})
	}
}

// Ctrl-C ends a validation that waits for standard input.
func TestValidateIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	go func() {
		_, _ = io.WriteString(w, "{") // is read, and more is waited for
		cancel()
	}()
	if got := (call{args: []string{"validate", "-"}, stdin: r}).run(ctx, t); got.code != cli.ExitInterrupted {
		t.Error(got.session())
	}
}
