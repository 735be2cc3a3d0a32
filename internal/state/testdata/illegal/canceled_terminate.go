package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Canceled], now time.Time) {
	state.Terminate(r, 5, now) // want "S .type state.Canceled. does not satisfy state.Active"
}
