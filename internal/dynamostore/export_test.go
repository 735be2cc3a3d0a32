package dynamostore

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

// EncodeRequest returns a request's item.
func EncodeRequest(rec state.Record, retention time.Duration) map[string]types.AttributeValue {
	return encodeRequest(rec, retention)
}

// DecodeRequest reads what EncodeRequest wrote.
func DecodeRequest(it map[string]types.AttributeValue) (state.Record, error) {
	return decodeRequest(it)
}

// Updates returns the statement of a grouped change.
func Updates(s *Store, c state.Change) types.BatchStatementRequest { return s.updates(c) }

// EncodeBatch returns a batch's item.
func EncodeBatch(b batch.Batch, retention time.Duration) (map[string]types.AttributeValue, error) {
	return encodeBatch(b, retention)
}

// DecodeBatch reads what EncodeBatch wrote.
func DecodeBatch(it map[string]types.AttributeValue) (batch.Batch, error) { return decodeBatch(it) }

// EncodeEntry returns a journal's entry's item.
func EncodeEntry(batchID string, e batch.Entry) map[string]types.AttributeValue {
	return encodeEntry(batchID, e)
}

// DecodeEntry reads what EncodeEntry wrote.
func DecodeEntry(it map[string]types.AttributeValue) (batch.Entry, error) { return decodeEntry(it) }

// EncodeModel returns a model's item.
func EncodeModel(m route.Model) (map[string]types.AttributeValue, error) { return encodeModel(m) }

// DecodeModel reads what EncodeModel wrote.
func DecodeModel(it map[string]types.AttributeValue) route.Model { return decodeModel(it) }

// Size returns an item's size in bytes.
func Size(it map[string]types.AttributeValue) int { return item(it).size() }

// EncodeLimit returns the item of what is known of a route.
func EncodeLimit(r limit.Record) (map[string]types.AttributeValue, error) { return encodeLimit(r) }

// DecodeLimit reads what EncodeLimit wrote.
func DecodeLimit(it map[string]types.AttributeValue) (limit.Record, error) { return decodeLimit(it) }
