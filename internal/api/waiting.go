package api

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
)

// A LimitStore has what the fleet of workers knows of routes.
type LimitStore interface {
	// Limit returns what is known of a route, by its id: nothing at first.
	Limit(ctx context.Context, id string) (limit.Record, error)
}

const (
	// mostWaitRoutes is how many routes are looked at for one answer, each a read of
	// an item; models beyond are not told of.
	mostWaitRoutes = 16
	// waitingLimit bounds the looks together.
	waitingLimit = 2 * time.Second
)

// Why requests wait, besides what a limit.Why says.
const (
	waitsNoRoute   limit.Why = "no_route"
	waitsAllowance limit.Why = "allowance"
)

// A waitShape is one reason why requests of a batch wait. OpenAI has no such object.
type waitShape struct {
	Reason  string  `json:"reason"`
	Model   *string `json:"model"`
	Until   *int64  `json:"until"`
	Message string  `json:"message"`
}

// waiting returns why b's requests wait, as it is known at that moment: nil
// unless b is in progress, and where it cannot be read. That is no failure: the
// answer has all that OpenAI's has.
func (a *api) waiting(ctx context.Context, b batch.Batch, counts batch.Counts) []waitShape {
	now := a.Clock()
	if b.Status != batch.StatusInProgress {
		return nil
	}
	waits := []waitShape{}
	if counts.Done() >= counts.Total || b.FailCause != "" || b.Overdue(now) { // nothing of it is called any more
		return waits
	}
	if b.Starved() {
		waits = append(waits, shapeWait(waitsAllowance, "", later(b.Reconciled.AskAt, now)))
	}
	ctx, cancel := context.WithTimeout(ctx, waitingLimit)
	defer cancel()
	of, err := a.waitingModels(ctx, b, now)
	if err != nil {
		a.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot say why a batch waits",
			slog.String("batch", b.ID), slog.String("error", err.Error()))
		return nil
	}
	return append(waits, of...)
}

// waitingModels returns why requests wait for the routes of b's models, at most
// mostWaitRoutes of those.
func (a *api) waitingModels(ctx context.Context, b batch.Batch, now time.Time) ([]waitShape, error) {
	if a.Models == nil || len(b.Models) == 0 {
		return nil, nil
	}
	table, err := a.Models(ctx)
	if err != nil {
		return nil, err
	}
	var (
		waits  []waitShape
		models []route.Model
		routes []route.Route
	)
	for _, name := range b.Models {
		_, m, _ := table.Goes(name, b.Deadline.Sub(now))
		switch {
		case len(routes)+len(waits)+max(len(m.Routes), 1) > mostWaitRoutes:
		case len(m.Routes) == 0:
			waits = append(waits, shapeWait(waitsNoRoute, name, time.Time{}))
		case !slices.ContainsFunc(models, func(o route.Model) bool { return o.Pattern == m.Pattern }):
			models, routes = append(models, m), append(routes, m.Routes...)
		}
	}
	records := make([]limit.Record, len(routes))
	group, ctx := errgroup.WithContext(ctx)
	for i, r := range routes {
		group.Go(func() (err error) {
			records[i], err = a.Limits.Limit(ctx, r.ID)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read what is known of routes: %w", err)
	}
	for _, m := range models {
		waits = append(waits, waitsOf(m, records[:len(m.Routes)], now)...)
		records = records[len(m.Routes):]
	}
	return waits, nil
}

// waitsOf returns why requests wait for all of m's routes, in their order and each
// reason once; nothing if one of the routes takes calls.
func waitsOf(m route.Model, records []limit.Record, now time.Time) []waitShape {
	var whys []limit.Why
	until := make(map[limit.Why]time.Time, 1)
	for i, r := range m.Routes {
		why, at := records[i].Waits(limit.At(now), limit.Limits{Concurrency: r.MaxConcurrency, RPM: r.RPM, TPM: r.TPM})
		if why == "" {
			return nil
		}
		if known, ok := until[why]; !ok {
			whys = append(whys, why)
			until[why] = at.Time()
		} else if at.Time().Before(known) {
			until[why] = at.Time()
		}
	}
	waits := make([]waitShape, 0, len(whys))
	for _, why := range whys {
		waits = append(waits, shapeWait(why, m.Pattern, later(until[why], now)))
	}
	return waits
}

// later returns t, or no time if that has passed.
func later(t, now time.Time) time.Time {
	if !t.After(now) {
		return time.Time{}
	}
	return t
}

// shapeWait tells a reason: until is the zero time where that is not known. A
// tenant reads it, who is told a model's pattern and nothing of its routes.
func shapeWait(why limit.Why, model string, until time.Time) waitShape {
	if !until.IsZero() { // a wait is not over before its second
		until = until.Add(time.Second - 1).Truncate(time.Second)
	}
	return waitShape{Reason: string(why), Model: orNull(model), Until: unix(until), Message: waitMessage(why, model)}
}

// waitMessage says to a person why requests for a model wait, and who can mend it how.
func waitMessage(why limit.Why, model string) string {
	name := "'" + clip(model) + "'"
	if model == route.Default {
		name = "the default route"
	}
	const tried = "Until then its requests wait, and it is tried once a minute."
	switch why {
	case limit.RateLimited:
		return fmt.Sprintf("The upstream of %s takes no calls for now: it refused some for their number, or asked for a wait. "+
			"They go on by themselves.", name)
	case limit.QuotaSpent:
		return fmt.Sprintf("The quota of %s is spent at its upstream. Whoever operates this deployment has to raise it there. %s", name, tried)
	case limit.Unauthorized:
		return fmt.Sprintf("The upstream of %s refuses this deployment's key (401 or 403). Whoever operates the deployment has to store "+
			"another one. %s", name, tried)
	case limit.MissingKey:
		return fmt.Sprintf("The key of %s cannot be read. Whoever operates this deployment has to store it where its route says, "+
			"which musketry admin models show tells. %s", name, tried)
	case limit.Misconfigured:
		return fmt.Sprintf("Calls of %s cannot be made as its route is configured. Whoever operates this deployment has to mend that "+
			"with musketry admin models set. %s", name, tried)
	case limit.Unreachable:
		return fmt.Sprintf("No upstream of %s serves: its last calls have all failed. It is tried again and again.", name)
	case limit.NoSlots:
		return fmt.Sprintf("As many calls of %s are in flight as may be (max_concurrency). Others follow as they end.", name)
	case limit.Paced:
		return fmt.Sprintf("Calls of %s leave one after another, as fast as its upstream allows (rpm, tpm, or what it was seen to take).", name)
	case limit.Failing:
		return fmt.Sprintf("The last calls of %s failed. Their requests are tried again, each after a wait: "+
			"GET /v1/batches/{id}/requests tells when, and of what failure.", name)
	case waitsNoRoute:
		return fmt.Sprintf("No route leads to %s any more. Whoever operates this deployment has to say where its requests go, with "+
			"musketry admin models set. Until then they wait.", name)
	case waitsAllowance:
		return "This deployment has as many requests in flight as it may have (allowance), and other batches come first. " +
			"It is asked again and again."
	}
	return ""
}
