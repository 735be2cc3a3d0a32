package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Claimed], l state.Lease, now time.Time) {
	state.Claim(r, l, now) // want "cannot use r .*Request\[.*Claimed\].* as .*Request\[.*Pending\] value in argument to state.Claim"
}
