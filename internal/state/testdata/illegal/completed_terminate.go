package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Completed], now time.Time) {
	state.Terminate(r, 5, now) // want "S .type state.Completed. does not satisfy state.Active"
}
