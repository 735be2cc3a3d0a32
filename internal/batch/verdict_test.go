package batch_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

// judged returns the verdict on a file.
func judged(t *testing.T, content string, rules batch.Rules) *batch.Verdict {
	t.Helper()
	v := batch.NewVerdict(rules)
	most := rules.MaxLineBytes
	if most == 0 {
		most = batch.MaxLineBytes
	}
	in := batch.NewLineReader(strings.NewReader(content), 0, most)
	for more := true; more; {
		var err error
		if more, err = v.Read(in); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func requestTo(url, id, model string) string {
	return fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":%q,"body":{"model":%q,"messages":[],"input":["a","b"]}}`, id, url, model) + "\n"
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	chat := func(id string) string { return requestTo("/v1/chat/completions", id, "m") }
	embed := func(id string) string { return requestTo("/v1/embeddings", id, "m") }
	for name, tt := range map[string]struct {
		content  string
		rules    batch.Rules
		endpoint string
		total    int
		want     []string // the errors' codes and lines
	}{
		"good":             {chat("a") + "\n" + chat("b"), batch.Rules{}, "/v1/chat/completions", 2, nil},
		"Azure's":          {requestTo("/chat/completions", "a", "m") + chat("b"), batch.Rules{}, "/v1/chat/completions", 2, nil},
		"an extra":         {requestTo("/rerank", "a", "m"), batch.Rules{Extra: []string{"/v1/rerank"}}, "/v1/rerank", 1, nil},
		"a later endpoint": {"{}\n" + embed("a") + chat("b"), batch.Rules{}, "/v1/embeddings", 3, []string{"missing_required_parameter 1", "invalid_url 3"}},
		"its own endpoint": {chat("a"), batch.Rules{Endpoint: "/v1/embeddings"}, "/v1/embeddings", 1, []string{"invalid_url 1"}},
		"nothing":          {"\n \n", batch.Rules{}, "", 0, []string{"empty_file 0"}},
		"twice":            {chat("a") + "\n" + chat("a"), batch.Rules{}, "/v1/chat/completions", 2, []string{"duplicate_custom_id 3"}},
		"as many as may":   {chat("a") + chat("b"), batch.Rules{MaxRequests: 2}, "/v1/chat/completions", 2, nil},
		"too many":         {chat("a") + chat("b") + chat("c"), batch.Rules{MaxRequests: 2}, "/v1/chat/completions", 3, []string{"too_many_requests 0"}},
		"inputs":           {embed("a") + embed("b"), batch.Rules{MaxEmbeddingInputs: 4}, "/v1/embeddings", 2, nil},
		"too many inputs":  {embed("a") + embed("b") + embed("c"), batch.Rules{MaxEmbeddingInputs: 3}, "/v1/embeddings", 2, []string{"too_many_inputs 2"}},
		"no inputs":        {chat("a") + chat("b"), batch.Rules{MaxEmbeddingInputs: 1}, "/v1/chat/completions", 2, nil},
		"a long line":      {chat("a") + strings.Repeat("x", 201) + "\n" + chat("b"), batch.Rules{MaxLineBytes: 200}, "/v1/chat/completions", 3, []string{"line_too_long 2"}},
		"no such model": {
			requestTo("/v1/embeddings", "a", "x") + requestTo("/v1/embeddings", "b", "m"),
			batch.Rules{Routed: func(model string) bool { return model == "m" }},
			"/v1/embeddings", 2,
			[]string{"model_not_found 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := judged(t, tt.content, tt.rules)
			var got []string
			for _, e := range v.Errors() {
				got = append(got, fmt.Sprintf("%s %d", e.Code, e.Line))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || v.Endpoint() != tt.endpoint || v.Total() != tt.total || v.More() != 0 {
				t.Errorf("%s, %d requests, %d more: %s", v.Endpoint(), v.Total(), v.More(), diff)
			}
		})
	}
}

// A verdict names a hundred bad lines, and ends there unless it is to count the others.
func TestVerdictIsBounded(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("{}\n", batch.MaxErrors+7)
	for whole, want := range map[bool][2]int{false: {batch.MaxErrors, 0}, true: {batch.MaxErrors + 7, 7}} {
		v := judged(t, content, batch.Rules{Whole: whole})
		if n := len(v.Errors()); n != batch.MaxErrors || v.Total() != want[0] || v.More() != want[1] {
			t.Errorf("%d errors and %d more of %d", n, v.More(), v.Total())
		}
	}
}

func TestVerdictKnowsModelsAndIndex(t *testing.T) {
	t.Parallel()
	v := judged(t, requestTo("/v1/embeddings", "a", "x")+requestTo("/v1/embeddings", "b", "y")+requestTo("/v1/embeddings", "c", "x"), batch.Rules{})
	models := v.Models()
	if names, all := models.Names(); !all || !slices.Equal(names, []string{"x", "y"}) {
		t.Errorf("%q, %v", names, all)
	}
	index := v.Index()
	for id, line := range map[string]int{"a": 1, "b": 2, "c": 3} {
		got, err := batch.FindLines(id, 3, func(offset, length int64) ([]byte, error) { return index[offset : offset+length], nil })
		if err != nil || !slices.Equal(got, []int{line}) {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
}

func TestCheckEndpoint(t *testing.T) {
	t.Parallel()
	known := batch.KnownEndpoints([]string{"/v1/rerank"})
	for name, want := range map[string]string{
		"/v1/chat/completions": "", "/v1/rerank": "", "/v1/videos": "Call it without a batch.", "/rerank": "Supported values are: '/v1/responses'",
		strings.Repeat("ü", 60): "'" + strings.Repeat("ü", 32) + "…'",
	} {
		err := batch.CheckEndpoint(name, known)
		var order *batch.OrderError
		switch {
		case want == "" && err == nil:
		case want != "" && errors.As(err, &order) && strings.Contains(order.Message, want) && order.Param == "endpoint":
		default:
			t.Errorf("%s: %v", name, err)
		}
	}
}
