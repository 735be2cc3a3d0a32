package dynamostore

import (
	"context"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

// The attributes of an act.
const (
	attrAt   = "at"
	attrWho  = "who"
	attrWhat = "what"
	attrOn   = "on"
	attrWith = "with"
)

// PutAct keeps an act for good. It is idempotent.
func (s *Store) PutAct(ctx context.Context, a tenant.Act) error {
	a = a.Kept()
	it := actKey(a.ID()).item()
	it.setTime(attrAt, a.At)
	it.setString(attrWho, a.Who)
	it.setString(attrWhat, a.What)
	it.setString(attrOn, a.On)
	it.setString(attrWith, a.With)
	return s.admin.put(ctx, it, condition{})
}

// Acts returns at most limit (at least 1) acts, newest first, that were before a time
// (all, if it is zero), and whether there are more.
func (s *Store) Acts(ctx context.Context, before time.Time, limit int) ([]tenant.Act, bool, error) {
	l := listing{pk: pkAudit, prefix: prefixAct, limit: limit}
	if !before.IsZero() {
		l.after = tenant.ActMoment(before)
	}
	items, more, err := s.admin.list(ctx, l)
	if err != nil {
		return nil, false, err
	}
	acts, err := decodeAll(items, func(it item) (tenant.Act, error) {
		r := &reader{item: it}
		return tenant.Act{
			At: r.time(attrAt), Who: r.string(attrWho), What: r.string(attrWhat), On: r.string(attrOn), With: r.string(attrWith),
		}, r.err
	})
	return acts, more, err
}
