package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/tenant"
)

// errUnread says that the tables could not be looked into, which is no reason to call a deployment failed.
var errUnread = errors.New("the tables cannot be read")

// operated is what operators write, and lies in a table of its own since version 0.2.
type operated interface {
	Keys(ctx context.Context, tenantName string) ([]tenant.Key, error)
	PutKey(ctx context.Context, k tenant.Key) error
	Models(ctx context.Context) ([]route.Model, error)
	PutModel(ctx context.Context, m route.Model) error
	PutAct(ctx context.Context, act tenant.Act) error
}

// carryOver copies keys and models from the main table, where a deployment from before there was a table of theirs has them, if
// that one has no key yet: a deployment without keys serves nobody, so none that was at work is touched. Models come first, since
// their lack is no refusal: requests would go by the default route. It reports how many keys and models it copied.
func carryOver(ctx context.Context, from, to operated, who string, now time.Time) (keys, models int, err error) {
	there, err := to.Keys(ctx, "")
	if err == nil && len(there) > 0 {
		return 0, 0, nil
	}
	oldKeys, err1 := from.Keys(ctx, "")
	oldModels, err2 := from.Models(ctx)
	if err := cmp.Or(err, err1, err2); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", errUnread, err)
	}
	if len(oldKeys)+len(oldModels) == 0 {
		return 0, 0, nil
	}
	act := tenant.Act{At: now, Who: who, What: "keys and models copied", With: fmt.Sprintf("keys=%d models=%d", len(oldKeys), len(oldModels))}
	if err := to.PutAct(ctx, act); err != nil {
		return 0, 0, fmt.Errorf("log the copy, without which it is not done: %w", err)
	}
	for _, m := range oldModels {
		m.Revision = 0 // of this table
		if err := to.PutModel(ctx, m); err != nil && !errors.Is(err, route.ErrConflict) {
			return 0, models, fmt.Errorf("copy the model %.80q: %w", m.Pattern, err)
		}
		models++
	}
	for _, k := range oldKeys {
		if err := to.PutKey(ctx, k); err != nil {
			return keys, models, fmt.Errorf("copy the key %.12s, after %d of %d: copy the others by hand (docs/configuration.md, Keys): %w",
				k.Hash, keys, len(oldKeys), err)
		}
		keys++
	}
	return keys, models, nil
}
