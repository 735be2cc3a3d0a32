package submit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// repeatWindow is how long an order without a key is recognised when a
	// client sends it again: longer than the 10 minutes for which OpenAI's SDKs
	// wait for an answer (https://github.com/openai/openai-python#timeouts).
	repeatWindow = 15 * time.Minute
	// keyWindow is how long an idempotency key is remembered: a batch can be
	// read for at least as long.
	keyWindow = 30 * 24 * time.Hour
)

// receive returns the batch that o is to become, and whether that is fresh,
// since o was not seen before. It returns batch.ErrIdempotency if o's key
// belongs to another order.
//
// An order with a key is recognised by the key. One without is recognised by
// its fields, and only if the client says that it repeats it: equal orders of
// somebody who wants two batches are two.
func (a *Acceptor) receive(
	ctx context.Context, o batch.Order, fresh batch.Ref, now time.Time,
) (ref batch.Ref, first bool, err error) {
	sum, err := fingerprint(o)
	if err != nil {
		return batch.Ref{}, false, err
	}
	r := batch.Receipt{
		Tenant: o.Tenant, Key: "order:" + sum, Order: sum, BatchID: fresh.ID,
		CreatedAt: now, ExpiresAt: now.Add(repeatWindow),
	}
	if o.IdempotencyKey != "" {
		key := sha256.Sum256([]byte(o.IdempotencyKey))
		r.Key, r.ExpiresAt = "key:"+hex.EncodeToString(key[:]), now.Add(keyWindow)
	}
	if o.IdempotencyKey == "" && !o.Repeated {
		if err := a.receipts.PutReceipt(ctx, r); err != nil {
			return batch.Ref{}, false, fmt.Errorf("submit: put receipt: %w", err)
		}

		return fresh, true, nil
	}
	held, err := a.receipts.ClaimReceipt(ctx, r)
	if err != nil {
		return batch.Ref{}, false, fmt.Errorf("submit: claim receipt: %w", err)
	}
	if held.Order != sum {
		return batch.Ref{}, false, batch.ErrIdempotency
	}

	return batch.Ref{Tenant: o.Tenant, ID: held.BatchID}, held.BatchID == fresh.ID, nil
}

// fingerprint returns the SHA-256 of the fields that make two orders equal.
func fingerprint(o batch.Order) (string, error) {
	o.IdempotencyKey, o.Repeated = "", false
	raw, err := json.Marshal(o) // maps are written in the order of their keys
	if err != nil {
		return "", fmt.Errorf("submit: fingerprint: %w", err)
	}
	sum := sha256.Sum256(raw)

	return hex.EncodeToString(sum[:]), nil
}
