package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Completed]) {
	state.Release(r) // want "cannot use r .*Request\[.*Completed\].* as .*Request\[.*Claimed\] value in argument to state.Release"
}
