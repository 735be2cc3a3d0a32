package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Completed], l state.Lease, now time.Time) {
	state.Claim(r, l, now) // want "cannot use r .*Request\[.*Completed\].* as .*Request\[.*Pending\] value in argument to state.Claim"
}
