package illegal

import "github.com/musketry/musketry/internal/state"

// A request is not a change.
func _(r state.Request[state.Completed]) {
	_ = state.Change(r) // want "cannot convert r .*Completed.* to type state.Change"
}
