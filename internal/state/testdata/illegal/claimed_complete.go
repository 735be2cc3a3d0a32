package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Claimed], now time.Time) {
	state.Complete(r, state.Result{StatusCode: 200}, now) // want "cannot use r .*Request\[.*Claimed\].* as .*Request\[.*Processing\] value in argument to state.Complete"
}
