package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Canceled]) {
	state.Release(r) // want "cannot use r .*Request\[.*Canceled\].* as .*Request\[.*Claimed\] value in argument to state.Release"
}
