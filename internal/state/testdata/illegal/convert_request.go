package illegal

import "github.com/musketry/musketry/internal/state"

// A request's state changes by a transition and not by a conversion.
func _(r state.Request[state.Claimed]) {
	_ = state.Request[state.Processing](r) // want "cannot convert r .*Claimed.* to type state.Request.*Processing"
}
