package batch

import (
	"errors"
	"fmt"
	"time"
)

// An Order is what a user asks for when creating a batch.
type Order struct {
	Tenant             string
	InputFileID        string
	RetryOf            string // the batch whose requests that were not completed are ordered; empty: all of the file's
	Endpoint           string
	Window             string // as ParseWindow reads it
	Metadata           map[string]string
	OutputExpiresAfter time.Duration // 0: the default retention
	IdempotencyKey     string        // orders of one key are one order; empty: none
	Repeated           bool          // the client says that it sends this order again
}

// The limits of a batch's metadata
// (https://platform.openai.com/docs/api-reference/batch/create).
const (
	MaxMetadataPairs = 16
	MaxMetadataKey   = 64  // characters
	MaxMetadataValue = 512 // characters
)

// The bounds of the life of an output file, or of an uploaded one
// (https://platform.openai.com/docs/api-reference/files/create). One that names
// none has the longest.
const (
	MinFileLife = time.Hour
	MaxFileLife = 30 * 24 * time.Hour
)

// Retention is how long the records of an ended batch and its requests are kept.
const Retention = 30 * 24 * time.Hour

// MaxInputBytes is the largest input file of a batch unless a deployment
// chooses another bound: 200 MB, as at OpenAI
// (https://platform.openai.com/docs/guides/batch).
const MaxInputBytes = 200 << 20

// MaxRequests is the most requests of a batch unless a deployment chooses another
// bound: 50,000, as at OpenAI (https://platform.openai.com/docs/guides/batch).
const MaxRequests = 50_000

// ErrIdempotency reports an idempotency key that was used for another order.
var ErrIdempotency = errors.New("batch: the idempotency key was used for another order")

// An OrderError reports an order that cannot be taken, and how to mend it.
type OrderError struct {
	Param   string // the field at fault
	Code    string // OpenAI's code
	Message string
}

func (e *OrderError) Error() string { return fmt.Sprintf("batch: order: %s", e.Message) }

// A Receipt says which batch an order became, so that the same order, sent
// again, is not taken twice.
type Receipt struct {
	Tenant    string
	Key       string // what the order is recognised by
	Order     string // SHA-256 of the order's fields, in hex
	BatchID   string
	CreatedAt time.Time
	ExpiresAt time.Time // it counts until then
}
