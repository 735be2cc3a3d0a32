package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Claimed], d state.Refusal) {
	state.Deny(r, d) // want "S .type state.Claimed. does not satisfy state.Deniable"
}
