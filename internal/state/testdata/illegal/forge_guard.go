package illegal

import "github.com/musketry/musketry/internal/state"

// A change's guard can be read and not set.
func _(c state.Change) {
	c.guard = state.Guard{} // want "c.guard undefined"
}
