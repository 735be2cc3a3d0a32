package execute

import (
	"cmp"
	"context"
	"time"

	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
)

// A way is how one attempt reaches an upstream.
type way struct {
	route  route.Route
	model  string // that is called: the line's, or another to which it is escalated
	label  string // as metrics name it
	policy retry.Policy
	waits  bool // for who pays, where a quota is spent
}

// A router chooses ways.
type router struct {
	kit
}

// choose returns the way of an attempt for a line's model, with so much time
// remaining before its deadline. Its error says why there is none, and quotes
// nothing of the line's.
func (r router) choose(ctx context.Context, model string, remaining time.Duration, policy retry.Policy) (way, error) {
	table, err := r.models(ctx)
	if err != nil {
		return way{}, &CallError{Kind: CallUnsent, Text: "the models cannot be read"}
	}
	m, ok := table.Match(model)
	if m.Escalates(remaining) {
		if other, ok := table.Match(m.Escalation.Model); ok && len(other.Routes) > 0 {
			model, m = m.Escalation.Model, other
			m.Routes = renamed(m.Routes, model)
		}
	}
	if len(m.Routes) == 0 {
		why := "no route leads to a model: name it with musketry admin models set, or deploy a default route"
		if ok {
			why = "a model is stored whose routes cannot be used"
		}
		return way{}, &CallError{Kind: CallUnsent, Text: why}
	}
	share := 0.0
	if len(m.Routes) > 1 {
		share = r.uniform()
	}
	chosen, _ := m.Pick(share)
	return way{
		route: chosen, model: model, label: r.label(table, model), policy: m.Policy(policy),
		waits: m.SpentQuota == route.Pause,
	}, nil
}

// renamed returns routes that call model by its name there, whatever a line calls
// its own.
func renamed(routes []route.Route, model string) []route.Route {
	all := make([]route.Route, len(routes))
	for i, r := range routes {
		r.Model = cmp.Or(r.Model, model)
		all[i] = r
	}
	return all
}
