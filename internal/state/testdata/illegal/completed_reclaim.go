package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Completed], l state.Lease, now time.Time) {
	state.Reclaim(r, l, now, state.LossStale) // want "S .type state.Completed. does not satisfy state.Leased"
}
