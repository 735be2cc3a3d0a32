package dynamostore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
)

// The attributes of a journal's entry.
const (
	attrSegment = "g"
	attrClosed  = "z"
	attrSpans   = "l"
)

const (
	// appends is how often an entry is tried to be placed after the last one
	// while others are faster, with pauses that double from the first to the
	// longest.
	appends        = 16
	appendPause    = 10 * time.Millisecond
	appendPauseMax = 400 * time.Millisecond
)

var errSpans = errors.New("not whole")

func journalOf(batchID string) string      { return "journal#" + batchID }
func entryKey(batchID string, n int) key   { return key{journalOf(batchID), lineKey(n)} }
func sameEntry(stored, e batch.Entry) bool { return stored.Segment == e.Segment }

// AppendJournal adds e to a batch's journal and returns its number. With e.N 0
// it comes after the last entry, or batch.ErrJournalClosed is returned if that
// one is closed, and batch.ErrBusy if others were faster 16 times. Otherwise it
// becomes entry e.N, or batch.ErrExists is returned if there is one of another
// segment; the one before it must exist. After any other error e may have been
// added or not, so it must not be added with N 0 again.
func (s *Store) AppendJournal(ctx context.Context, batchID string, e batch.Entry) (int, error) {
	if e.N > 0 {
		return e.N, s.putEntry(ctx, batchID, e)
	}
	for try := range appends {
		last, err := s.lastEntry(ctx, batchID)
		if err != nil {
			return 0, err
		}
		if last.Closed {
			return 0, fmt.Errorf("dynamostore: journal of %s: %w", batchID, batch.ErrJournalClosed)
		}
		e.N = last.N + 1
		if err := s.putEntry(ctx, batchID, e); !errors.Is(err, batch.ErrExists) {
			return e.N, err
		}
		if err := s.pause(ctx, try, appendPause, appendPauseMax); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("dynamostore: journal of %s: %w", batchID, batch.ErrBusy)
}

// putEntry stores e under its number, or returns batch.ErrExists if another entry
// has it. Its own write seen again is no error.
func (s *Store) putEntry(ctx context.Context, batchID string, e batch.Entry) error {
	it := encodeEntry(batchID, e)
	if s.retention > 0 {
		it.setExpiry(s.now().Add(counterLife + s.retention))
	}
	err := s.put(ctx, it, isAbsent())
	var lost *lostError
	if !errors.As(err, &lost) {
		return err
	}
	if stored, err := decodeEntry(lost.stored); err != nil || sameEntry(stored, e) {
		return err
	}
	return fmt.Errorf("dynamostore: entry %d of %s: %w", e.N, batchID, batch.ErrExists)
}

// lastEntry returns the zero entry if there is none.
func (s *Store) lastEntry(ctx context.Context, batchID string) (batch.Entry, error) {
	items, _, err := s.query(ctx, &dynamodb.QueryInput{
		KeyConditionExpression:   aws.String("#pk = :pk"),
		ExpressionAttributeNames: map[string]string{"#pk": attrPK},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": &types.AttributeValueMemberS{Value: journalOf(batchID)},
		},
		ScanIndexForward: aws.Bool(false), Limit: aws.Int32(1),
	})
	if err != nil || len(items) == 0 {
		return batch.Entry{}, err
	}
	return decodeEntry(items[0])
}

// Journal returns at most limit (at least 1) entries of a batch's journal whose
// number is above after, in their order, read consistently.
func (s *Store) Journal(ctx context.Context, batchID string, after, limit int) ([]batch.Entry, error) {
	if limit < 1 {
		return nil, errPage
	}
	var page []batch.Entry
	in := &dynamodb.QueryInput{
		KeyConditionExpression:   aws.String("#pk = :pk AND #sk > :after"),
		ExpressionAttributeNames: map[string]string{"#pk": attrPK, "#sk": attrSK},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk":    &types.AttributeValueMemberS{Value: journalOf(batchID)},
			":after": &types.AttributeValueMemberS{Value: lineKey(max(after, 0))},
		},
	}
	for {
		in.Limit = aws.Int32(int32(min(limit-len(page), maxPage))) //nolint:gosec // a few thousand
		items, more, err := s.query(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			e, err := decodeEntry(it)
			if err != nil {
				return nil, err
			}
			page = append(page, e)
		}
		if more == nil || len(page) >= limit {
			return page, nil
		}
		in.ExclusiveStartKey = more
	}
}

func encodeEntry(batchID string, e batch.Entry) item {
	it := entryKey(batchID, e.N).item()
	it.setString(attrSegment, e.Segment)
	it.setBool(attrClosed, e.Closed)
	it.setString(attrSpans, packSpans(e.Spans))
	return it
}

// decodeEntry reads what encodeEntry wrote.
func decodeEntry(it item) (batch.Entry, error) {
	r := &reader{item: it}
	e := batch.Entry{Segment: r.string(attrSegment), Closed: r.bool(attrClosed)}
	var err error
	if e.N, err = strconv.Atoi(r.string(attrSK)); err != nil {
		r.fail(attrSK, err)
	}
	if e.Spans, err = unpackSpans(r.string(attrSpans)); err != nil {
		r.fail(attrSpans, err)
	}
	return e, r.err
}

// packSpans writes spans as variable-length numbers, each the difference to
// what the one before lets expect, so that an entry of 64 lines is one write
// unit (1 KB).
func packSpans(spans []batch.LineSpan) string {
	var raw []byte
	var last batch.LineSpan
	for _, p := range spans {
		raw = binary.AppendVarint(raw, int64(p.Line-last.Line))
		raw = binary.AppendVarint(raw, p.Offset-last.Offset-last.Length)
		raw = binary.AppendVarint(raw, p.Length)
		last = p
	}
	return base64.RawStdEncoding.EncodeToString(raw)
}

// unpackSpans reads what packSpans wrote.
func unpackSpans(text string) ([]batch.LineSpan, error) {
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("spans: %w", err)
	}
	var spans []batch.LineSpan
	var last batch.LineSpan
	for len(raw) > 0 {
		var numbers [3]int64
		for i := range numbers {
			n, size := binary.Varint(raw)
			if size <= 0 {
				return nil, errSpans
			}
			numbers[i], raw = n, raw[size:]
		}
		last = batch.LineSpan{
			Line: last.Line + int(numbers[0]), Offset: last.Offset + last.Length + numbers[1], Length: numbers[2],
		}
		spans = append(spans, last)
	}
	return spans, nil
}
