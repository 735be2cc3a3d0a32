package illegal

import "github.com/musketry/musketry/internal/state"

// Only a transition makes a Change.
var _ = state.Change{to: state.Completed{}} // want "unknown field to in struct literal|cannot refer to unexported field to"
