package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Processing]) {
	state.Deny(r, state.DenialMaxRetries) // want "cannot use r .*Request\[.*Processing\].* as .*Request\[.*Failed\] value in argument to state.Deny"
}
