package execute

import (
	"cmp"
	"context"
	"sync"
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

// Times of a refusal.
const (
	// trusted is how long after an answer that only who is known gets a refusal is
	// the request's own.
	trusted = 10 * time.Minute
	// tellEvery is how often at most the log has that nothing can be sent, and why:
	// all of a route fail together.
	tellEvery = time.Minute
)

// refusals are what a process knows of upstreams that refuse their key, which is
// no failure of any request.
type refusals struct {
	mu    sync.Mutex
	known map[string]time.Time // by route: when it last answered one whom it knows
	told  map[string]time.Time // by what the log was told
}

func newRefusals() *refusals {
	return &refusals{known: map[string]time.Time{}, told: map[string]time.Time{}}
}

// refused reports whether an answer of status by w refuses the key, and not the
// request: a 401 or 403 of an upstream that has not answered for long.
func (r *refusals) refused(w way, status int, now time.Time) bool {
	if status >= 500 || status == 408 || status == 429 || w.policy.Retryable.Has(status) {
		return false // says nothing of the key
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if status != 401 && status != 403 {
		r.known[w.route.ID] = now
		return false
	}
	last, ok := r.known[w.route.ID]
	return !ok || now.Sub(last) > trusted
}

// tell reports whether the log is to have what.
func (r *refusals) tell(what string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.told[what]; ok && now.Sub(last) < tellEvery {
		return false
	}
	r.told[what] = now
	return true
}

// A router knows the ways.
type router struct {
	kit
}

// ways returns the ways that an attempt for a line's model may take, with so much
// time remaining before its deadline: one at least. Its error says why there is none,
// and quotes nothing of the line's.
func (r router) ways(ctx context.Context, model string, remaining time.Duration, policy retry.Policy) ([]way, error) {
	table, err := r.models(ctx)
	if err != nil {
		return nil, &CallError{Kind: CallUnsent, Text: "the models cannot be read"}
	}
	called, m, ok := table.Goes(model, remaining)
	if called != model {
		model, m.Routes = called, renamed(m.Routes, called)
	}
	if len(m.Routes) == 0 {
		why := "no route leads to a model: name it with musketry admin models set, or deploy a default route"
		if ok {
			why = "a model is stored whose routes cannot be used"
		}
		return nil, &CallError{Kind: CallUnsent, Text: why}
	}
	ways := make([]way, len(m.Routes))
	for i, chosen := range m.Routes {
		ways[i] = way{
			route: chosen, model: model, label: r.label(table, model), policy: m.Policy(policy),
			waits: m.SpentQuota == route.Pause,
		}
	}
	return ways, nil
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
