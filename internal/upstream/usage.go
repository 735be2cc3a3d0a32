package upstream

import (
	"bytes"
	"encoding/json"

	"github.com/musketry/musketry/internal/state"
)

// maxTokens bounds what one answer may claim of each kind, so that sums over a batch never overflow.
const maxTokens = 1_000_000_000

// Usage returns the tokens that an answer says it took, the body's `usage` as chat completions, completions and
// embeddings (`prompt_tokens`) or responses (`input_tokens`) spell it. What is absent, no whole number, negative or above
// 1,000,000,000 counts as 0; a total that is missing is the sum of the two. The result does not hold on to the body.
func Usage(body []byte) state.Usage {
	if !bytes.Contains(body, []byte(`"usage"`)) {
		return state.Usage{} // The common case of errors, for the price of a search.
	}
	var answer struct {
		Usage lenient[usage] `json:"usage"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return state.Usage{}
	}
	return answer.Usage.value.sum()
}

type usage struct {
	Prompt            tokens                      `json:"prompt_tokens"`
	Input             tokens                      `json:"input_tokens"`
	Completion        tokens                      `json:"completion_tokens"`
	Output            tokens                      `json:"output_tokens"`
	Total             tokens                      `json:"total_tokens"`
	PromptDetails     lenient[inputTokenDetails]  `json:"prompt_tokens_details"`
	InputDetails      lenient[inputTokenDetails]  `json:"input_tokens_details"`
	CompletionDetails lenient[outputTokenDetails] `json:"completion_tokens_details"`
	OutputDetails     lenient[outputTokenDetails] `json:"output_tokens_details"`
}

type inputTokenDetails struct {
	Cached tokens `json:"cached_tokens"`
}

type outputTokenDetails struct {
	Reasoning tokens `json:"reasoning_tokens"`
}

func (u usage) sum() state.Usage {
	s := state.Usage{
		Input: int64(max(u.Prompt, u.Input)), Output: int64(max(u.Completion, u.Output)), Total: int64(u.Total),
		Cached:    int64(max(u.PromptDetails.value.Cached, u.InputDetails.value.Cached)),
		Reasoning: int64(max(u.CompletionDetails.value.Reasoning, u.OutputDetails.value.Reasoning)),
	}
	if s.Total == 0 {
		s.Total = s.Input + s.Output
	}
	return s
}

// tokens is a number of tokens; any other value reads as 0.
type tokens int64

// UnmarshalJSON never fails.
func (t *tokens) UnmarshalJSON(raw []byte) error {
	*t = 0
	var n int64
	if json.Unmarshal(raw, &n) == nil && n >= 0 && n <= maxTokens {
		*t = tokens(n)
	}
	return nil
}
