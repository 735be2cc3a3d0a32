package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/batch"
)

// A view is a batch as the API showed it.
type view struct {
	openai.Batch
}

func (v *view) status() batch.Status { return batch.Status(v.Status) }

// counts returns the batch's request counts. Servers that know OpenAI's three
// only have no expired and cancelled ones.
func (v *view) counts() batch.Counts {
	extra := func(name string) int {
		n, err := strconv.Atoi(v.RequestCounts.JSON.ExtraFields[name].Raw())
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	return batch.Counts{
		Total: int(v.RequestCounts.Total), Completed: int(v.RequestCounts.Completed),
		Failed: int(v.RequestCounts.Failed), Expired: extra("expired"), Canceled: extra("cancelled"),
	}
}

// ours reports whether a server of Musketry's showed the batch: it tells more
// than OpenAI's.
func (v *view) ours() bool {
	_, ok := v.JSON.ExtraFields["waiting"]
	return ok
}

// endedAt returns when the batch got its last status, the zero time if it has not yet.
func (v *view) endedAt() time.Time {
	at := int64(0)
	switch v.status() {
	case batch.StatusCompleted:
		at = v.CompletedAt
	case batch.StatusFailed:
		at = v.FailedAt
	case batch.StatusExpired:
		at = v.ExpiredAt
	case batch.StatusCanceled:
		at = v.CancelledAt
	case batch.StatusValidating, batch.StatusInProgress, batch.StatusFinalizing, batch.StatusCanceling:
	}
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(at, 0).UTC()
}

// outcome returns what a command that saw the batch's end ends with.
func (v *view) outcome() error {
	c := v.counts()
	switch {
	case v.status() != batch.StatusCompleted:
		return &outcomeError{code: ExitEnded}
	case c.Completed < c.Total:
		return &outcomeError{code: ExitFailures}
	}
	return nil
}

// printJSON writes the batch as the API sent it, on one line.
func (v *view) printJSON(w io.Writer) error {
	var line bytes.Buffer
	if err := json.Compact(&line, []byte(v.RawJSON())); err != nil {
		return fmt.Errorf("the API's answer is no JSON: %w", err)
	}
	line.WriteByte('\n')
	return write(w, line.String())
}

// summary returns one line on a batch that ended.
func (v *view) summary() string {
	took := ""
	if end := v.endedAt(); !end.IsZero() {
		took = " after " + span(end.Sub(time.Unix(v.CreatedAt, 0)))
	}

	text := fmt.Sprintf("%s %s%s", v.ID, v.Status, took)
	if c := v.counts(); c.Total > 0 {
		text += ": " + tally(c)
	}
	return text
}

// maxProblems is how many of a refused file's lines are shown.
const maxProblems = 20

// problems returns why a batch's file was refused, a line each.
func (v *view) problems() []string {
	var lines []string
	for i, p := range v.Errors.Data {
		if i == maxProblems {
			return append(lines, fmt.Sprintf("and %d more", len(v.Errors.Data)-maxProblems))
		}
		where := ""
		if p.Line > 0 {
			where = fmt.Sprintf("line %d: ", p.Line)
		}
		param := ""
		if p.Param != "" {
			param = " (" + p.Param + ")"
		}
		lines = append(lines, fmt.Sprintf("%s%s: %s%s", where, p.Code, p.Message, param))
	}
	return lines
}

// A reason is why a batch's requests wait.
type reason struct {
	Name    string `json:"reason"`
	Model   string `json:"model"` // empty: all of them
	Until   int64  `json:"until"` // Unix seconds; 0: unknown
	Message string `json:"message"`
}

// reasons returns why the batch's requests wait, which Musketry tells and OpenAI does
// not.
func (v *view) reasons() []reason {
	var reasons []reason
	if json.Unmarshal([]byte(v.JSON.ExtraFields["waiting"].Raw()), &reasons) != nil {
		return nil
	}
	return reasons
}

// short returns its name, and of which model it is.
func (r reason) short() string {
	if r.Model == "" {
		return r.Name
	}
	return fmt.Sprintf("%s (%s)", r.Name, r.Model)
}

// words returns all that is known of it, on one line.
func (r reason) words() string {
	text := r.short()
	if r.Until > 0 {
		text += " until " + stamp(r.Until)
	}
	return text + ": " + r.Message
}

// tally returns counts in words.
func tally(c batch.Counts) string {
	parts := []string{number(c.Total, "request"), fmt.Sprintf("%d completed", c.Completed)}
	return strings.Join(append(parts, bad(c)...), ", ")
}

// bad returns the counts of requests without an answer that are not zero.
func bad(c batch.Counts) []string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{c.Failed, "failed"}, {c.Expired, "expired"}, {c.Canceled, "cancelled"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return parts
}

func number(n int, what string) string { return numberOf(n, what, what+"s") }

func numberOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// span returns d in at most two units.
func span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return d.String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// size returns a number of bytes in a unit that fits.
func size(n int64) string {
	const unit = 1000
	switch {
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.1f kB", float64(n)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/unit/unit/unit)
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

func write(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
