package illegal

import "github.com/musketry/musketry/internal/state"

func _(r state.Request[state.Claimed]) {
	state.Deny(r, state.DenialMaxRetries) // want "cannot use r .*Request\[.*Claimed\].* as .*Request\[.*Failed\] value in argument to state.Deny"
}
