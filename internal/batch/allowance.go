package batch

import (
	"maps"
	"time"
)

const (
	// MaxGrants is how many batches an allowance knows at once. Their entries lie
	// in one item, about 150 bytes each, which stays below DynamoDB's 400 KB
	// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
	MaxGrants = 1_500
	// leastGrant is what a batch gets at least while anything is free: less makes
	// more turns of its flow than progress.
	leastGrant = MinHighWater
	// waits is how long something is kept for a batch that got nothing, from when
	// it asked last: it asks again every 30 s.
	waits = 2 * time.Minute
)

// An Allowance is how the messages that a deployment may have in flight are
// shared among its batches. Stores replace the whole, guarded by Rev; a
// deployment without one has granted nothing.
type Allowance struct {
	Rev       int64
	Grants    map[string]Grant // by batch
	CheckedAt time.Time        // when the grants were last held against what runs
}

// A Grant is a batch's share.
type Grant struct {
	Tenant   string    `json:"t"`
	Due      time.Time `json:"d,omitzero"` // by when the batch's work must go on, of one that waits
	Messages int       `json:"m"`          // that it may have enqueued and unfinished
	Wants    int       `json:"w,omitzero"` // of one that waits: what it asked for
	AskedAt  time.Time `json:"a,omitzero"` // of one that waits: when it did so last
}

// An Ask is what a batch asks of an allowance.
type Ask struct {
	Ref
	Due   time.Time // its deadline, less the time that the work left takes
	Wants int       // how many requests it would have enqueued and unfinished

	Outstanding int // how many are so: they cannot be given back
}

// Kept returns a as stores keep it: in memory of its own, its times in
// milliseconds, and an empty map is none.
func (a Allowance) Kept() Allowance {
	a.Grants = maps.Clone(a.Grants)
	if len(a.Grants) == 0 {
		a.Grants = nil
	}
	for id, g := range a.Grants {
		g.Due, g.AskedAt = stamp(g.Due), stamp(g.AskedAt)
		a.Grants[id] = g
	}
	a.CheckedAt = stamp(a.CheckedAt)
	return a
}

// Sum returns how many messages are granted.
func (a *Allowance) Sum() int {
	sum := 0
	for g := range maps.Values(a.Grants) {
		sum += g.Messages
	}
	return sum
}

// Ask grants q's batch as much of limit as it wants and may have, and returns how
// much that is: never less than is outstanding, and no more than that if there is
// nothing for it, or if the allowance knows as many batches as it can.
//
// A tenant may have as much as is left free then: one alone half of the limit,
// two a third each, so that the next one always finds room. Of that a batch gets
// all if it is the tenant's only one, and half beside others. What a batch of the
// tenant waits for that got nothing, and is due sooner, is kept for it.
func (a *Allowance) Ask(q Ask, limit int, now time.Time) int {
	before, known := a.Grants[q.ID]
	if !known && len(a.Grants) >= MaxGrants {
		return q.Outstanding
	}
	granted := max(q.Outstanding, min(q.Wants, a.available(q, limit, now)))
	g := Grant{Tenant: q.Tenant, Messages: granted}
	if granted == 0 {
		g.Wants, g.Due, g.AskedAt = q.Wants, stamp(q.Due), stamp(now)
		if before.Wants > 0 && before.Messages == 0 && now.Sub(before.AskedAt) < waits/2 {
			g.Wants, g.Due, g.AskedAt = before.Wants, before.Due, before.AskedAt // no write for a repetition
		}
	}
	if known && g == before {
		return granted
	}
	if a.Grants = maps.Clone(a.Grants); a.Grants == nil {
		a.Grants = map[string]Grant{}
	}
	a.Grants[q.ID] = g
	return granted
}

// available returns the most that q's batch may have.
func (a *Allowance) available(q Ask, limit int, now time.Time) int {
	others, kept, siblings := map[string]int{}, 0, 0
	free := limit
	for id, g := range a.Grants {
		if id == q.ID {
			continue
		}
		free -= g.Messages
		others[g.Tenant] += g.Messages
		if g.Tenant != q.Tenant {
			continue
		}
		siblings++
		if g.Messages == 0 && now.Sub(g.AskedAt) < waits && g.Due.Before(q.Due) {
			kept += g.Wants
		}
	}
	own, newcomers := others[q.Tenant], a.newcomers(q.Tenant, others, now)
	room := newcomers * leastGrant
	if own == 0 && q.Outstanding == 0 { // it is one of them: if each kept all for the others, none would get any
		room = min(room, free*newcomers/(newcomers+1))
	}
	free -= room
	share := max((free-own)/2-kept, 0) // so that what the tenant has is no more than what is left free
	part := share
	if siblings > 0 {
		part = max(share/2, min(leastGrant, share))
	}
	if own == 0 && kept == 0 {
		part = max(part, min(leastGrant, free))
	}
	return part
}

// newcomers returns how many tenants other than this one wait and have nothing:
// each finds some room, whoever asks first.
func (a *Allowance) newcomers(tenant string, has map[string]int, now time.Time) int {
	found := map[string]bool{}
	for _, g := range a.Grants {
		if g.Tenant != tenant && has[g.Tenant] == 0 && g.Wants > 0 && now.Sub(g.AskedAt) < waits {
			found[g.Tenant] = true
		}
	}
	return len(found)
}

// Drop takes back what a batch was granted. It is idempotent.
func (a *Allowance) Drop(batchID string) {
	if _, ok := a.Grants[batchID]; ok {
		a.Grants = maps.Clone(a.Grants)
		delete(a.Grants, batchID)
	}
}
