package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Processing], d state.Refusal) {
	state.Deny(r, d) // want "S .type state.Processing. does not satisfy state.Deniable"
}
