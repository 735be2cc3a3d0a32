package illegal

import "github.com/musketry/musketry/internal/state"

// Only New, As and the transitions make a Request of something.
var _ = state.Request[state.Completed]{phase: state.Completed{}} // want "unknown field phase in struct literal|cannot refer to unexported field phase"
