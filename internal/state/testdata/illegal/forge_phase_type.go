package illegal

import "github.com/musketry/musketry/internal/state"

// A phase of one's own lacks what only this package can give it.
type mine struct{}

func (mine) Status() state.Status { return state.StatusCompleted }

var _ state.Phase = mine{} // want "mine does not implement state.Phase .*missing method claimID"
