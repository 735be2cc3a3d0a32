package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Canceled], l state.Lease, now time.Time) {
	state.Claim(r, l, now) // want "cannot use r .*Request\[.*Canceled\].* as .*Request\[.*Pending\] value in argument to state.Claim"
}
