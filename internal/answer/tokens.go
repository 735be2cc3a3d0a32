package answer

import (
	"strconv"

	"github.com/musketry/musketry/internal/jsonscan"
	"github.com/musketry/musketry/internal/state"
)

// maxTokens bounds what one answer may claim of each kind, so that sums over a batch never overflow.
const maxTokens = 1_000_000_000

// tokens reads a `usage`, as Reading has it.
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
	if len(raw) == 0 { // the common case, without an error that quotes it
		return 0
	}
	n, err := strconv.ParseInt(string(raw[:min(len(raw), maxDigits)]), 10, 64)
	if err != nil || n < 0 || n > maxTokens || len(raw) > maxDigits {
		return 0
	}
	return n
}

// maxDigits is more than the digits of maxTokens.
const maxDigits = 20
