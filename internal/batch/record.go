package batch

import (
	"encoding/json"
	"fmt"
)

// EncodeRecord returns b as JSON, the form in which a flow carries it
// until it is stored.
func EncodeRecord(b Batch) (json.RawMessage, error) {
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("batch: encode record: %w", err)
	}
	return raw, nil
}

// DecodeRecord reads what EncodeRecord wrote.
func DecodeRecord(raw json.RawMessage) (Batch, error) {
	var b Batch
	if err := json.Unmarshal(raw, &b); err != nil {
		return Batch{}, fmt.Errorf("batch: decode record: %w", err)
	}
	if b.Tenant == "" || b.ID == "" {
		return Batch{}, fmt.Errorf("batch: decode record: it names no batch")
	}
	return b, nil
}
