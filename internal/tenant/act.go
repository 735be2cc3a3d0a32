package tenant

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// maxActText is how many bytes each text of an Act has at most.
const maxActText = 2_000

// An Act is what an owner of a deployment did to its keys or models, as the log of
// acts has it: one line, in which no secret is.
type Act struct {
	At   time.Time
	Who  string // the caller's ARN, as AWS has it; empty: nobody knows
	What string // such as "keys create"
	On   string // the tenant, or the model's pattern
	With string // which key, where its routes lead: what tells it from others
}

// ID returns what a is kept under: it sorts by time, and the same act, written again,
// has the same.
func (a Act) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{a.Who, a.What, a.On, a.With}))
	return ActMoment(a.At) + "#" + hex.EncodeToString(sum[:8])
}

// ActMoment returns what the IDs of acts at t begin with, and of none before.
func ActMoment(t time.Time) string { return fmt.Sprintf("%015d", max(t.UnixMilli(), 0)) }

// Kept returns a as it is kept: its texts of a bounded length, and its time in
// milliseconds and UTC.
func (a Act) Kept() Act {
	for _, text := range []*string{&a.Who, &a.What, &a.On, &a.With} {
		*text = strings.ToValidUTF8((*text)[:min(len(*text), maxActText)], "")
	}
	if !a.At.IsZero() {
		a.At = a.At.UTC().Truncate(time.Millisecond)
	}
	return a
}

// String returns a's line: time, who, what, on what, and with what. Nothing in it moves
// a cursor.
func (a Act) String() string {
	who := a.Who
	if who == "" {
		who = "unknown"
	}
	line := strings.Join([]string{a.At.UTC().Format(time.RFC3339), who, a.What, a.On, a.With}, " ")
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, line), " ")
}
