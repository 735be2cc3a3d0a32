package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Failed]) {
	state.Release(r) // want "cannot use r .*Request\[.*Failed\].* as .*Request\[.*Claimed\] value in argument to state.Release"
}
