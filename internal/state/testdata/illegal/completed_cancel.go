package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Completed], now time.Time) {
	state.Cancel(r, now) // want "S .type state.Completed. does not satisfy state.Active"
}
