package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Processing]) {
	state.Release(r) // want "cannot use r .*Request\[.*Processing\].* as .*Request\[.*Claimed\] value in argument to state.Release"
}
