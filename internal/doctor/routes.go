package doctor

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
)

const (
	// mostRoutes is how many routes are looked at, and routesAtOnce of them are
	// at the same time.
	mostRoutes, routesAtOnce = 100, 8
)

// The statuses of HTTP that a provider's answer is told apart by.
const (
	statusRedirect     = 300 // and beyond: no success
	statusUnauthorized = 401
	statusUnpaid       = 402
	statusForbidden    = 403
	statusNotFound     = 404
	statusNoMethod     = 405
	statusTooMany      = 429
)

// routes returns the routes of all models, without those of invalid ones.
func (d *Doctor) routes(ctx context.Context) ([]route.Model, []route.Route, error) {
	stored, err := d.Store.Models(ctx)
	if err != nil {
		return nil, nil, err
	}
	models := route.NewTable(append(stored, d.config.Defaults...)...).Models()
	var routes []route.Route
	for _, m := range models {
		routes = append(routes, m.Routes...)
	}
	return models, routes, nil
}

// models looks whether requests have a place to go.
func (d *Doctor) models(ctx context.Context) []Finding {
	models, routes, err := d.routes(ctx)
	if err != nil {
		return []Finding{unknown("the models", err)}
	}
	if len(models) == 0 && d.config.Unknown != nil {
		return []Finding{unknown("the default route", d.config.Unknown)}
	}
	if len(models) == 0 {
		return []Finding{bad("", "musketry admin models set says where requests go, or deploy with upstreamBaseUrl",
			"there is neither a model nor a default route: every batch fails with model_not_found")}
	}
	var found []Finding
	for _, m := range models {
		if len(m.Routes) == 0 {
			found = append(found, bad(m.Pattern, "set it again: musketry admin models set", "what is stored of this model is invalid: its requests wait"))
		}
	}
	return append(found, good("", "%d models have %d routes", len(models)-len(found), len(routes)))
}

// pauses looks for routes that are paused, and says why and until when.
func (d *Doctor) pauses(ctx context.Context) []Finding {
	found, n := d.each(ctx, d.paused)
	if len(found) == 0 {
		return []Finding{good("", "none of %d routes is paused", n)}
	}
	return found
}

func (d *Doctor) paused(ctx context.Context, r route.Route) Finding {
	record, err := d.Store.Limit(ctx, r.ID)
	if err != nil {
		return unknown("what workers know of "+r.ID, err)
	}
	until, why := record.PausedUntil(limit.At(d.Clock()))
	what := fmt.Sprintf("it is paused (%s) until %s", why, until.Time().UTC().Format("15:04:05Z"))
	switch why {
	case "":
		return good(r.ID, "")
	case limit.RateLimited, limit.Unreachable:
		return warn(r.ID, "it goes on by itself; rpm, tpm or max_concurrency spare it the refusals", "%s", what)
	case limit.QuotaSpent:
		return bad(r.ID, "pay, or raise the provider's limit: it is tried again once a minute", "%s", what)
	case limit.Unauthorized, limit.MissingKey:
		return bad(r.ID, "store a good key: "+keyRemedy(r.Auth), "%s", what)
	case limit.Misconfigured:
		return bad(r.ID, "mend it: musketry admin models set", "%s", what)
	case limit.NoSlots, limit.Paced, limit.Failing: // why requests wait, and no route is paused
	}
	return warn(r.ID, "musketry status says why its requests wait", "%s", what)
}

// providers looks whether each route's key is there, and whether its provider
// takes it.
func (d *Doctor) providers(ctx context.Context) []Finding {
	found, n := d.each(ctx, d.provider)
	if n == 0 && len(found) == 0 {
		return []Finding{good("", "there are no routes to look at")}
	}
	if n > mostRoutes {
		found = append(found, warn("", "", "%d routes are not looked at", n-mostRoutes))
	}
	return found
}

// provider looks at one route.
func (d *Doctor) provider(ctx context.Context, r route.Route) Finding {
	keyless := false
	if r.Auth.Kind == route.Bearer || r.Auth.Kind == route.Header {
		switch err := d.Provider.Key(ctx, r.Auth); {
		case errors.Is(err, ErrNoKey) && r.Auth.Key != route.DefaultKey:
			return bad(r.ID, keyRemedy(r.Auth), "its key is missing: %v", err)
		case errors.Is(err, ErrNoKey): // none is sent, which some providers want
			keyless = true
		case err != nil:
			return of(r.ID, unknown("its key", err))
		}
	}
	status, err := d.Provider.Models(ctx, r)
	switch {
	case errors.Is(err, ErrElsewhere):
		return warn(r.ID, "run --smoke with --model", "it was not asked: %v", err)
	case err != nil:
		return bad(r.ID, "is base_url right, and can it be reached? If only from inside the deployment's network, --smoke shows it",
			"it cannot be reached from here: %v", err)
	}
	return answered(r, status, keyless)
}

// answered says what a provider's answer to the question for its models means.
func answered(r route.Route, status int, keyless bool) Finding {
	with := "its key works"
	switch {
	case keyless:
		with = "the deployment has no key of its own, and none is wanted"
	case r.Auth.Kind == route.None:
		with = "it wants no key"
	}
	switch {
	case status == statusUnauthorized || status == statusForbidden:
		if keyless {
			return bad(r.ID, keyRemedy(r.Auth), "there is no key, and the provider wants one: it answers %d", status)
		}
		return bad(r.ID, "store a good key, with the right to what is called: "+keyRemedy(r.Auth), "the provider refuses its key: it answers %d", status)
	case status == statusUnpaid:
		return bad(r.ID, "pay", "the provider's quota is spent: it answers %d", status)
	case status < statusRedirect:
		return good(r.ID, "the provider answers; %s", with)
	case status == statusNotFound || status == statusNoMethod:
		return warn(r.ID, "run --smoke with --model; if that fails too, base_url is wrong", "the provider lists no models (%d), so it is not known whether its key works", status)
	case status == statusTooMany:
		return warn(r.ID, "try again later", "the provider refuses calls for their number (%d)", status)
	}
	return bad(r.ID, "look at the provider's own status; is base_url right?", "the provider answers %d", status)
}

// keyRemedy says how a key is stored.
func keyRemedy(a route.Auth) string {
	return "docs/configuration.md says where " + a.Key + " lies; aws ssm put-parameter --type SecureString --overwrite, or aws secretsmanager put-secret-value"
}

// each looks at every route and returns what is to be told, in their order, and
// how many routes there are. What is well and has no words is not told.
func (d *Doctor) each(ctx context.Context, look func(context.Context, route.Route) Finding) ([]Finding, int) {
	_, routes, err := d.routes(ctx)
	if err != nil {
		return []Finding{unknown("the routes", err)}, 0
	}
	looked := routes[:min(len(routes), mostRoutes)]
	findings := make([]Finding, len(looked))
	var group errgroup.Group // one's finding is no reason to leave out another
	group.SetLimit(routesAtOnce)
	for i, r := range looked {
		group.Go(func() error {
			findings[i] = look(ctx, r)
			return nil
		})
	}
	_ = group.Wait() // none fails
	var told []Finding
	for _, f := range findings {
		if f.Status != OK || f.Message != "" {
			told = append(told, f)
		}
	}
	return told, len(routes)
}

// of returns f with a subject.
func of(subject string, f Finding) Finding {
	f.Subject = subject
	return f
}
