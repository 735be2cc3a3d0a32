package illegal

import "github.com/musketry/musketry/internal/state"

// A state of one's own is none, whatever it embeds.
type mine struct{ state.Pending }

var _ state.Request[mine] // want "mine does not satisfy state.State"
