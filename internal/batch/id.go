package batch

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// The prefixes of ids, OpenAI's.
const (
	PrefixBatch   = "batch_"
	PrefixFile    = "file-"
	PrefixUpload  = "upload_"
	PrefixPart    = "part_"
	PrefixRequest = "req_" // of a call of the API, for logs
)

// NewID returns an id of an object made at now: prefix and a ULID in lower
// case (https://github.com/ulid/spec), so that ids sort by the time they were
// made. It returns an error if random ends or now lies outside a ULID's years.
func NewID(prefix string, now time.Time, random io.Reader) (string, error) {
	id, err := ulid.New(ulid.Timestamp(now), random)
	if err != nil {
		return "", fmt.Errorf("batch: new id: %w", err)
	}
	return prefix + strings.ToLower(id.String()), nil
}

// ParseID returns the time, to the millisecond, at which NewID made id with
// prefix, and whether it can have made it at all.
func ParseID(prefix, id string) (time.Time, bool) {
	text, ok := strings.CutPrefix(id, prefix)
	if !ok || text != strings.ToLower(text) {
		return time.Time{}, false
	}
	parsed, err := ulid.ParseStrict(strings.ToUpper(text))
	if err != nil {
		return time.Time{}, false
	}
	return parsed.Timestamp().UTC(), true
}
