package dynamostore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/musketry/musketry/internal/tenant"
)

// The attributes of an API key.
const (
	attrTenant    = "tenant"
	attrHint      = "hint"
	attrRevokedAt = "revoked_at"
	attrReadOnly  = "read_only"
	attrDay       = "day" // of a key's last use
)

// Key returns the key of a hash. It returns tenant.ErrUnknownKey if there is
// none, or if it was revoked.
func (s *Store) Key(ctx context.Context, hash string) (tenant.Key, error) {
	k, err := s.anyKey(ctx, hash)
	if err == nil && !k.RevokedAt.IsZero() {
		return tenant.Key{}, fmt.Errorf("dynamostore: revoked: %w", tenant.ErrUnknownKey)
	}
	return k, err
}

// anyKey returns the key of a hash, revoked or not.
func (s *Store) anyKey(ctx context.Context, hash string) (tenant.Key, error) {
	if len(hash) > maxName {
		return tenant.Key{}, fmt.Errorf("dynamostore: %w", tenant.ErrUnknownKey)
	}
	it, err := s.admin.get(ctx, keyKey(hash))
	if err != nil {
		return tenant.Key{}, err
	}
	if it == nil {
		return tenant.Key{}, fmt.Errorf("dynamostore: %w", tenant.ErrUnknownKey)
	}
	return decodeKey(it)
}

// PutKey stores k in place of what was stored under its hash. That its tenant
// has it is written first: a crash in between leaves a mark without a key,
// which Keys passes over, and never a key in force that no listing shows.
func (s *Store) PutKey(ctx context.Context, k tenant.Key) error {
	if err := s.admin.put(ctx, keyMark(k.Tenant, k.Hash).item(), condition{}); err != nil {
		return err
	}
	return s.admin.put(ctx, encodeKey(k), condition{})
}

// Keys returns a tenant's keys, revoked ones too, in the order of their making;
// every tenant's where tenantName is empty.
func (s *Store) Keys(ctx context.Context, tenantName string) ([]tenant.Key, error) {
	prefix := prefixKey
	if tenantName != "" {
		prefix = keysOf(tenantName)
	}
	var keys []tenant.Key
	for after, more := "", true; more; {
		marks, on, err := s.admin.list(ctx, listing{
			pk: pkKeys, prefix: prefix, after: after, limit: filteredPage, forward: true,
		})
		if err != nil {
			return nil, err
		}
		for _, it := range marks {
			mark := reader{item: it}
			after = idOf(prefix, mark.string(attrSK))
			owner, hash, _ := strings.Cut(idOf(prefixKey, mark.string(attrSK)), "#")
			k, err := s.anyKey(ctx, hash)
			switch {
			case errors.Is(err, tenant.ErrUnknownKey): // PutKey never came so far
			case err != nil:
				return nil, err
			case k.Tenant == owner:
				keys = append(keys, k)
			}
		}
		more = on
	}
	slices.SortFunc(keys, func(a, b tenant.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Hash, b.Hash))
	})
	return keys, nil
}

func encodeKey(k tenant.Key) item {
	it := keyKey(k.Hash).item()
	it.setString(attrTenant, k.Tenant)
	it.setString(attrName, k.Name)
	it.setString(attrHint, k.Hint)
	it.setTime(attrCreatedAt, k.CreatedAt)
	it.setTime(attrRevokedAt, k.RevokedAt)
	it.setTime(attrExpiresAt, k.ExpiresAt)
	it.setBool(attrReadOnly, k.ReadOnly)
	return it
}

// decodeKey reads what encodeKey wrote.
func decodeKey(it item) (tenant.Key, error) {
	r := &reader{item: it}
	k := tenant.Key{
		Hash: idOf(prefixKey, r.string(attrPK)), Tenant: r.string(attrTenant), Name: r.string(attrName),
		Hint: r.string(attrHint), CreatedAt: r.time(attrCreatedAt), RevokedAt: r.time(attrRevokedAt),
		ExpiresAt: r.time(attrExpiresAt), ReadOnly: r.bool(attrReadOnly),
	}
	return k, r.err
}

// NoteKeyUse records that a key was used on u's day, in the table that functions
// write. It is idempotent, and leaves a later day as it is.
func (s *Store) NoteKeyUse(ctx context.Context, u tenant.KeyUse) error {
	u.Day = tenant.Day(u.Day)
	it := useKey(u.Tenant, u.Hash).item()
	it.setTime(attrDay, u.Day)
	it.setExpiry(u.Day.Add(tenant.KeyUseLife))
	err := s.put(ctx, it, isBefore(u.Day))
	if _, lost := errors.AsType[*lostError](err); lost {
		return nil
	}
	return err
}

// KeyUses returns on which day each key of a tenant's was last used, in the order of
// their hashes: of those that were used within tenant.KeyUseLife.
func (s *Store) KeyUses(ctx context.Context, tenantName string) ([]tenant.KeyUse, error) {
	var uses []tenant.KeyUse
	for after, more := "", true; more; {
		items, on, err := s.list(ctx, listing{
			pk: ownedBy(tenantName), prefix: prefixUse, after: after, limit: filteredPage, forward: true,
		})
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			r := &reader{item: it}
			u := tenant.KeyUse{Tenant: tenantName, Hash: idOf(prefixUse, r.string(attrSK)), Day: r.time(attrDay)}
			if r.err != nil {
				return nil, r.err
			}
			uses, after = append(uses, u), u.Hash
		}
		more = on
	}
	return uses, nil
}
