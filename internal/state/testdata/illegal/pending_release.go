package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Pending]) {
	state.Release(r) // want "cannot use r .*Request\[.*Pending\].* as .*Request\[.*Claimed\] value in argument to state.Release"
}
