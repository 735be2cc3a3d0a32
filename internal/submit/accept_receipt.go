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
	keyWindow = batch.Retention
)

// receive returns the receipt that says which batch o becomes: fresh, unless o
// was seen before. It returns batch.ErrIdempotency if o's key belongs to
// another order.
//
// An order with a key is recognised by the key. One without is recognised by
// its fields, and only if the client says that it repeats it: equal orders of
// somebody who wants two batches are two.
func (a *Acceptor) receive(ctx context.Context, o batch.Order, fresh string, now time.Time) (batch.Receipt, error) {
	sum, err := fingerprint(o)
	if err != nil {
		return batch.Receipt{}, err
	}
	r := batch.Receipt{
		Tenant: o.Tenant, Key: "order:" + sum, Order: sum, BatchID: fresh,
		CreatedAt: now, ExpiresAt: now.Add(repeatWindow),
	}
	if o.IdempotencyKey != "" {
		key := sha256.Sum256([]byte(o.IdempotencyKey))
		r.Key, r.ExpiresAt = "key:"+hex.EncodeToString(key[:]), now.Add(keyWindow)
	}
	if o.IdempotencyKey == "" && !o.Repeated {
		if err := a.Receipts.PutReceipt(ctx, r); err != nil {
			return batch.Receipt{}, fmt.Errorf("submit: put receipt: %w", err)
		}
		return r, nil
	}
	first, err := a.Receipts.ClaimReceipt(ctx, r)
	if err != nil {
		return batch.Receipt{}, fmt.Errorf("submit: claim receipt: %w", err)
	}
	if first.Order != sum {
		return batch.Receipt{}, batch.ErrIdempotency
	}
	return first, nil
}

// void takes back the receipt of an order that was refused, so that its key
// can be used for the order as it is mended.
func (a *Acceptor) void(ctx context.Context, r batch.Receipt) error {
	r.ExpiresAt = r.CreatedAt
	if err := a.Receipts.PutReceipt(ctx, r); err != nil {
		return fmt.Errorf("submit: void receipt: %w", err)
	}
	return nil
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
