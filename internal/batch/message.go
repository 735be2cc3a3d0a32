package batch

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/state"
)

// A Message tells a worker of one request. It carries what finding the
// request's body takes, and no body.
type Message struct {
	Tenant     string `json:"t"`
	Batch      string `json:"b"`
	Line       int    `json:"l"`
	Shard      int    `json:"s"`
	Offset     int64  `json:"o"`
	Length     int64  `json:"n"`
	Model      int    `json:"m,omitempty"` // the number of its model in the batch; 0: not known before the body is read
	Reenqueued bool   `json:"a,omitempty"` // the flow enqueued it again, because another may be lost
}

// MessageOf returns the message of the request that spec describes.
func MessageOf(tenant string, spec state.Spec) Message {
	return Message{
		Tenant: tenant, Batch: spec.Key.Batch, Line: spec.Key.Line, Shard: spec.Key.Shard,
		Offset: spec.Body.Offset, Length: spec.Body.Length, Model: spec.Model,
	}
}

// Key returns the key of m's request.
func (m Message) Key() state.Key { return state.Key{Batch: m.Batch, Line: m.Line, Shard: m.Shard} }

// Ref returns m's batch and its owner.
func (m Message) Ref() Ref { return Ref{Tenant: m.Tenant, ID: m.Batch} }

// Encode returns m as the body of a queue's message, well under 1 KB.
func (m Message) Encode() (string, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("batch: encode message: %w", err)
	}
	return string(b), nil
}

// DecodeMessage reads what Encode wrote. It returns an error if body is
// anything else.
func DecodeMessage(body string) (Message, error) {
	var m Message
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return Message{}, fmt.Errorf("batch: decode message: %w", err)
	}
	if m.Tenant == "" || m.Batch == "" || m.Line < 1 || m.Shard < 0 || m.Offset < 0 || m.Length < 1 || m.Model < 0 || m.Model > MaxModels {
		return Message{}, fmt.Errorf("batch: decode message: not a message of a request")
	}
	return m, nil
}

// A Delivery is a message as its queue handed it over, for a while.
type Delivery struct {
	MessageID string    // the queue's own name of the message
	Handle    string    // names this receive
	Receives  int       // how often it was received, this time included
	Body      string    // a Message, encoded
	SentAt    time.Time // when it was sent; zero if that is not known
}

// A DeadLetter is a message that its queue gave up, after as many receives as it
// allows.
type DeadLetter struct {
	ID     string // the queue's own name of the message
	Handle string // names this receive
	Body   string
	SentAt time.Time // when it was sent to the queue that gave it up
}
