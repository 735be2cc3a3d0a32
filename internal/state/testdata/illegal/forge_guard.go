package illegal

import "github.com/musketry/musketry/internal/state"

// What a change was made from, which is its guard, can be read and not set.
func _(c state.Change) {
	c.from = state.Pending{} // want "c.from undefined"
}
