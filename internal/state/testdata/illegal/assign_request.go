package illegal

import "github.com/musketry/musketry/internal/state"

// A variable of one state does not take a request in another.
func _(r state.Request[state.Failed]) {
	var _ state.Request[state.Pending] = r // want "cannot use r .*Failed.* as state.Request.*Pending"
}
