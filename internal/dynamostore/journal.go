package dynamostore

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
)

// The attributes of a journal's entry, and of its count of numbers.
const (
	attrSegment = "g"
	attrClosed  = "z" // of the count: nobody gets a number any more
	attrSpans   = "l"
	attrMadeAt  = "t"
	attrNumbers = "n" // how many were given out
)

const (
	// appends is how often an entry gets a number that is taken when it comes.
	appends = 16
	// fills is how often a page is read whose gaps are filled.
	fills = 4
	// gapAge is the age of the entry after a gap at which that is filled: whoever has
	// the number is dead, or gets another.
	gapAge = 5 * time.Second
)

var (
	errSpans    = errors.New("not whole")
	errNumbered = errors.New("dynamostore: an entry that has its number is a closed one")
)

func journalOf(batchID string) string    { return "journal#" + batchID }
func entryKey(batchID string, n int) key { return key{journalOf(batchID), lineKey(n)} }
func sameEntry(stored, e batch.Entry) bool {
	return stored.Segment == e.Segment && stored.Closed == e.Closed
}

// AppendJournal adds e to a batch's journal and returns its number. With e.N 0
// it comes after all that were appended so far, or batch.ErrJournalClosed is
// returned if the journal is closed. Otherwise e is Closed and becomes entry e.N,
// or batch.ErrExists is returned if there is another; the one before it must exist.
// After any other error e may have been added or not, so it must not be added with
// N 0 again.
//
// A number is given out by an atomic count, so that any number of writers append
// at once and none waits for another: a batch has room for 1,000 entries a second,
// which is what an item takes
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html).
// A writer that dies between its number and its entry leaves a gap, which Journal
// fills.
func (s *Store) AppendJournal(ctx context.Context, batchID string, e batch.Entry) (int, error) {
	if e.N > 0 {
		return e.N, s.putClosed(ctx, batchID, e)
	}
	if e.Closed {
		return s.closeJournal(ctx, batchID)
	}
	for range appends {
		n, closed, err := s.nextNumber(ctx, batchID, false)
		if err != nil || closed {
			return 0, journalErr(batchID, err, closed)
		}
		e.N = n
		if err := s.putEntry(ctx, batchID, e); !errors.Is(err, batch.ErrExists) {
			return n, err
		}
		// This took so long that the number was filled, or there are entries that were
		// never counted.
		if err := s.raiseNumbers(ctx, batchID); err != nil {
			return 0, err
		}
	}
	return 0, journalErr(batchID, batch.ErrBusy, false)
}

// journalErr returns what err, or that it is closed, means for an append.
func journalErr(batchID string, err error, closed bool) error {
	if err == nil && closed {
		err = batch.ErrJournalClosed
	}
	return fmt.Errorf("dynamostore: journal of %s: %w", batchID, err)
}

// putClosed stores an entry that comes after the closing one, and makes sure that
// nobody gets a number any more.
func (s *Store) putClosed(ctx context.Context, batchID string, e batch.Entry) error {
	if !e.Closed {
		return errNumbered
	}
	if err := s.putEntry(ctx, batchID, e); err != nil {
		return err
	}
	_, _, err := s.nextNumber(ctx, batchID, true)
	return err
}

// closeJournal adds the closing entry, under a number that no other entry has or
// will get. If the journal was closed before, it makes up for whoever died over
// that, and returns batch.ErrJournalClosed.
func (s *Store) closeJournal(ctx context.Context, batchID string) (int, error) {
	n, before, err := s.nextNumber(ctx, batchID, true)
	if before {
		last, err := s.lastEntry(ctx, batchID)
		if err != nil || last.Closed {
			return 0, journalErr(batchID, err, true)
		}
	}
	for range appends {
		if err != nil {
			return 0, err
		}
		err = s.putEntry(ctx, batchID, batch.Entry{N: n, Closed: true})
		switch {
		case err == nil && before:
			return 0, journalErr(batchID, nil, true)
		case !errors.Is(err, batch.ErrExists):
			return n, err
		}
		if err = s.raiseNumbers(ctx, batchID); err == nil { // there are entries that were never counted
			n, err = s.updateNumbers(ctx, batchID, numbering{})
		}
	}
	return 0, journalErr(batchID, batch.ErrBusy, false)
}

// nextNumber gives out a number that nobody had. If last, it is the last one: for
// all who come later the journal is closed, and they get that one.
func (s *Store) nextNumber(ctx context.Context, batchID string, last bool) (n int, closed bool, err error) {
	n, err = s.updateNumbers(ctx, batchID, numbering{close: last, cond: isOpen()})
	if lost, ok := errors.AsType[*lostError](err); ok {
		r := &reader{item: lost.stored}
		return r.int(attrNumbers), true, r.err
	}
	return n, false, err
}

// raiseNumbers has the numbers that are given out come after the last entry.
func (s *Store) raiseNumbers(ctx context.Context, batchID string) error {
	last, err := s.lastEntry(ctx, batchID)
	if err != nil {
		return err
	}
	_, err = s.updateNumbers(ctx, batchID, numbering{to: last.N, cond: numbersBelow(last.N)})
	if _, ok := errors.AsType[*lostError](err); ok { // they do
		return nil
	}
	return err
}

// A numbering is a change of the count of a journal's numbers.
type numbering struct {
	to    int // 0: one more
	close bool
	cond  condition
}

// updateNumbers changes the count of a journal's numbers and returns it.
func (s *Store) updateNumbers(ctx context.Context, batchID string, to numbering) (int, error) {
	names, values := map[string]string{"#n": attrNumbers}, map[string]types.AttributeValue{}
	maps.Copy(names, to.cond.names)
	maps.Copy(values, to.cond.values)
	var set []string
	add := ""
	if s.retention > 0 {
		names["#x"], values[":x"] = attrTTL, number(s.now().Add(counterLife+s.retention).Unix())
		set = append(set, "#x = :x")
	}
	if to.close {
		names["#z"], values[":z"] = attrClosed, &types.AttributeValueMemberBOOL{Value: true}
		set = append(set, "#z = :z")
	}
	if to.to > 0 {
		values[":to"] = number(int64(to.to))
		set = append(set, "#n = :to")
	} else {
		values[":one"] = number(1)
		add = "ADD #n :one"
	}
	update := add
	if len(set) > 0 {
		update = strings.TrimSpace("SET " + strings.Join(set, ", ") + " " + add)
	}
	after, err := s.update(ctx, numbersKey(batchID), update, to.cond, names, values)
	r := &reader{item: after}
	return r.int(attrNumbers), cmp.Or(err, r.err)
}

// putEntry stores e under its number, or returns batch.ErrExists if another entry
// has it. Its own write seen again is no error.
func (s *Store) putEntry(ctx context.Context, batchID string, e batch.Entry) error {
	it := encodeEntry(batchID, e)
	it.setTime(attrMadeAt, s.now())
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
// number is above after, in their order, read consistently: no entry will ever
// come before one that it has returned. Where a number is missing it ends, unless
// the next entry is old or the journal is closed: then it enters there that there
// is nothing, so that whoever has that number gets another.
func (s *Store) Journal(ctx context.Context, batchID string, after, limit int) ([]batch.Entry, error) {
	if limit < 1 {
		return nil, errPage
	}
	after = max(after, 0)
	for try := 0; ; try++ {
		page, err := s.entries(ctx, batchID, after, limit)
		if err != nil {
			return nil, err
		}
		whole := wholeFrom(page, after)
		if whole == len(page) || try == fills {
			return decoded(page[:whole]), nil
		}
		over, err := s.isOver(ctx, batchID, page[whole])
		if err != nil || !over {
			return decoded(page[:whole]), err
		}
		if err := s.fill(ctx, batchID, after+whole+1, page[whole].N); err != nil {
			return nil, err
		}
	}
}

// fill enters nothing under the numbers from n to before end that nobody has used.
func (s *Store) fill(ctx context.Context, batchID string, n, end int) error {
	for ; n < end; n++ {
		if err := s.putEntry(ctx, batchID, batch.Entry{N: n}); err != nil && !errors.Is(err, batch.ErrExists) {
			return err
		}
	}
	return nil
}

// wholeFrom returns how many of page's first entries have the numbers after after,
// with none missing.
func wholeFrom(page []stored, after int) int {
	n := 0
	for n < len(page) && page[n].N == after+n+1 {
		n++
	}
	return n
}

// A stored is an entry as it is kept.
type stored struct {
	batch.Entry

	madeAt time.Time
}

func decoded(page []stored) []batch.Entry {
	var entries []batch.Entry
	for _, e := range page {
		entries = append(entries, e.Entry)
	}
	return entries
}

// isOver reports whether nobody needs a number before e any more.
func (s *Store) isOver(ctx context.Context, batchID string, e stored) (bool, error) {
	if s.now().Sub(e.madeAt) >= gapAge {
		return true, nil
	}
	it, err := s.get(ctx, numbersKey(batchID))
	r := &reader{item: it}
	return r.bool(attrClosed), cmp.Or(err, r.err)
}

// entries returns at most limit entries whose number is above after.
func (s *Store) entries(ctx context.Context, batchID string, after, limit int) ([]stored, error) {
	var page []stored
	in := &dynamodb.QueryInput{
		KeyConditionExpression:   aws.String("#pk = :pk AND #sk > :after"),
		ExpressionAttributeNames: map[string]string{"#pk": attrPK, "#sk": attrSK},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk":    &types.AttributeValueMemberS{Value: journalOf(batchID)},
			":after": &types.AttributeValueMemberS{Value: lineKey(after)},
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
			r := &reader{item: it}
			page = append(page, stored{e, r.time(attrMadeAt)})
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
