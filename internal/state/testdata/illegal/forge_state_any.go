package illegal

import "github.com/musketry/musketry/internal/state"

// The set of all states is no state.
var _ state.Request[state.Phase] // want "Phase does not satisfy state.State"
