package illegal

import "github.com/musketry/musketry/internal/state"

// Reading a record does not admit a state of one's own either.
type mine struct{ state.Completed }

func _(rec state.Record) {
	state.As[mine](rec) // want "mine does not satisfy state.State"
}
