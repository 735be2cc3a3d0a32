package state_test

import (
	"testing"

	"github.com/musketry/musketry/internal/state"
)

func TestTokensPlus(t *testing.T) {
	t.Parallel()
	got := state.Tokens{Input: 1, Cached: 2, Output: 4, Reasoning: 8, Total: 16}.Plus(
		state.Tokens{Input: 32, Cached: 64, Output: 128, Reasoning: 256, Total: 512})
	if want := (state.Tokens{Input: 33, Cached: 66, Output: 132, Reasoning: 264, Total: 528}); got != want {
		t.Errorf("the sum is %+v, want %+v", got, want)
	}
}
