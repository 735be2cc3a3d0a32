package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Canceled], d state.Refusal) {
	state.Deny(r, d) // want "S .type state.Canceled. does not satisfy state.Deniable"
}
