package illegal

import "github.com/musketry/musketry/internal/state"

// A reason of one's own could carry a body into an item; there are none.
type mine struct{}

func (mine) Kind() state.Kind { return state.KindTimeout }
func (mine) Retryable() bool  { return true }
func (mine) String() string   { return "mine" }

var _ = state.Failure{Reason: mine{}} // want "mine does not implement state.Reason .*missing method clipped"
