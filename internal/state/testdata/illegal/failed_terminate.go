package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Failed], now time.Time) {
	state.Terminate(r, 5, now) // want "S .type state.Failed. does not satisfy state.Active"
}
