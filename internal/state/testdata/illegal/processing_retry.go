package illegal

import (
	"time"

	"github.com/musketry/musketry/internal/state"
)

func _(r state.Request[state.Processing], notBefore time.Time) {
	state.Retry(r, notBefore) // want "cannot use r .*Request\[.*Processing\].* as .*Request\[.*Failed\] value in argument to state.Retry"
}
