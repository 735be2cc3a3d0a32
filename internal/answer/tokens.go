package answer

import (
	"bytes"
	"strconv"

	"github.com/musketry/musketry/internal/jsonscan"
	"github.com/musketry/musketry/internal/state"
)

// maxTokens bounds what one answer may claim of each kind, so that sums over a batch never overflow.
const maxTokens = 1_000_000_000

// Tokens returns the tokens that an answer says it took, the body's `usage` as chat completions, completions and
// embeddings (`prompt_tokens`) or responses (`input_tokens`) spell it. What is absent, no whole number, negative or above
// 1,000,000,000 counts as 0; a total that is missing is the sum of the two. The result does not hold on to the body.
func Tokens(body []byte) state.Tokens {
	if !bytes.Contains(body, []byte(`"usage"`)) {
		return state.Tokens{} // The common case of errors, for the price of a search.
	}
	return tokens(member(body, "usage"))
}

// tokens reads a `usage`.
func tokens(usage []byte) state.Tokens {
	u, err := jsonscan.Pick(usage, "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens",
		"total_tokens", "prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details")
	if err != nil {
		return state.Tokens{}
	}
	s := state.Tokens{
		Input: max(count(u[0]), count(u[1])), Output: max(count(u[2]), count(u[3])), Total: count(u[4]),
		Cached:    max(count(member(u[5], "cached_tokens")), count(member(u[6], "cached_tokens"))),
		Reasoning: max(count(member(u[7], "reasoning_tokens")), count(member(u[8], "reasoning_tokens"))),
	}
	if s.Total == 0 {
		s.Total = s.Input + s.Output
	}
	return s
}

// count reads a number of tokens; any other value reads as 0.
func count(raw []byte) int64 {
	n, err := strconv.ParseInt(string(raw[:min(len(raw), maxDigits)]), 10, 64)
	if err != nil || n < 0 || n > maxTokens || len(raw) > maxDigits {
		return 0
	}
	return n
}

// maxDigits is more than the digits of maxTokens.
const maxDigits = 20
