package illegal

import "github.com/musketry/musketry/internal/state"

// A request's phase can be read and not set.
func _(r state.Request[state.Pending]) {
	r.phase = state.Pending{Attempt: 0} // want "r.phase undefined"
}
