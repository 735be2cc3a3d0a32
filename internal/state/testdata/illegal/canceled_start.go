package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Canceled], now time.Time) {
	state.Start(r, now) // want "cannot use r .*Request\[.*Canceled\].* as .*Request\[.*Claimed\] value in argument to state.Start"
}
