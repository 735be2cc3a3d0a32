package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Canceled], now time.Time) {
	state.Complete(r, state.Result{StatusCode: 200}, now) // want "cannot use r .*Request\[.*Canceled\].* as .*Request\[.*Processing\] value in argument to state.Complete"
}
