package memstore

import (
	"context"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
)

// A receiptKey is what a receipt is found by.
type receiptKey struct{ tenant, key string }

// ClaimReceipt stores r unless a receipt of its tenant and key is there that
// lives at r.CreatedAt, and returns the one that is there now.
func (s *Store) ClaimReceipt(ctx context.Context, r batch.Receipt) (batch.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return batch.Receipt{}, fmt.Errorf("memstore: claim receipt: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.receipts[receiptKey{r.Tenant, r.Key}]
	if ok && stamp(r.CreatedAt).Before(held.ExpiresAt) {
		return held, nil
	}
	return s.keepReceipt(r), nil
}

// PutReceipt stores r in place of what was there.
func (s *Store) PutReceipt(ctx context.Context, r batch.Receipt) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: put receipt: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepReceipt(r)
	return nil
}

// keepReceipt stores r as it is kept; s.mu is held.
func (s *Store) keepReceipt(r batch.Receipt) batch.Receipt {
	r.CreatedAt, r.ExpiresAt = stamp(r.CreatedAt), stamp(r.ExpiresAt)
	s.receipts[receiptKey{r.Tenant, r.Key}] = r
	return r
}
