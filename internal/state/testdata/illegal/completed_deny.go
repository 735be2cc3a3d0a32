package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Completed], d state.Refusal) {
	state.Deny(r, d) // want "S .type state.Completed. does not satisfy state.Deniable"
}
