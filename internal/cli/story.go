package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// tellStory tells how a request stands, and its answer if it has one.
func (a *app) tellStory(ctx context.Context, c *client, v *view, raw json.RawMessage) error {
	var r request
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("the server's request is no JSON: %w", err)
	}
	line, err := a.answer(ctx, c, v, &r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // such as a file that was deleted: the rest is worth telling
		a.note("Its answer cannot be fetched: %s", explain(err))
	}
	if a.json {
		return printStory(a, raw, line)
	}
	if wrong := write(a.env.Stdout, r.report(v, a.env.Now())); wrong != nil {
		return wrong
	}
	switch {
	case line != nil:
		return write(a.env.Stdout, "\n"+readable(line)+"\n")
	case err == nil && r.FinishedAt > 0 && !v.status().Terminal():
		a.note("Its answer is among the batch's results: musketry results %s", v.ID)
	}
	return nil
}

// printStory writes a request as the API showed it, with its result line, which
// is null if it has none yet.
func printStory(a *app, raw json.RawMessage, line []byte) error {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return fmt.Errorf("the server's request is no JSON: %w", err)
	}
	fields["result"] = json.RawMessage("null")
	if line != nil {
		fields["result"] = line
	}
	return printValue(a.env.Stdout, fields)
}

// report returns what a person wants to know of a request.
func (r *request) report(v *view, now time.Time) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			// Writing to a strings.Builder cannot fail.
			_, _ = fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	row("request", r.ID)
	row("custom_id", printable(r.CustomID))
	row("batch", fmt.Sprintf("%s, %s", v.ID, v.Status))
	row("line", fmt.Sprintf("%d of the file, blank ones not counted", r.Line))
	row("status", r.Status)
	row("model", printable(r.Model))
	row("attempts", r.attempts())
	row("last failure", r.failure())
	row("next try", r.next(now))
	row("called", moment(r.StartedAt))
	row("ended", moment(r.FinishedAt))
	_ = w.Flush()
	return text.String()
}

func (r *request) attempts() string {
	text := fmt.Sprint(r.Attempts)
	if r.Reclaims > 0 {
		text += fmt.Sprintf("; taken over from %s that died", number(r.Reclaims, "worker"))
	}
	return text
}

// failure returns why the last call failed, and why there was no other.
func (r *request) failure() string {
	text := printable(r.LastFailure)
	if r.FailureKind != "" {
		text = strings.TrimSpace(text + " (" + r.FailureKind + ")")
	}
	switch r.RetryDenied {
	case "":
	case "max_retries":
		text += "; it was tried as often as may be"
	case "deadline":
		text += "; the batch's deadline left no time for another attempt"
	default:
		text += "; not tried again: " + printable(r.RetryDenied)
	}
	return text
}

// next returns when a request is tried next.
func (r *request) next(now time.Time) string {
	if batch.Outcome(r.Status) != batch.OutcomePending {
		return ""
	}
	at := time.Unix(r.NextTryAt, 0)
	if r.NextTryAt == 0 || !at.After(now) {
		return "as soon as there is a place"
	}
	return fmt.Sprintf("%s, in %s", stamp(r.NextTryAt), span(at.Sub(now)))
}

// moment returns a time, empty if there is none.
func moment(unix int64) string {
	if unix == 0 {
		return ""
	}
	return stamp(unix)
}

// readable returns a result line as a person reads it: each value on a line.
func readable(line []byte) string {
	var text bytes.Buffer
	if json.Indent(&text, bytes.TrimSpace(line), "", "  ") != nil {
		return printable(string(line))
	}
	return unescaped(text.String())
}

// unescaped returns a text whose control characters, but for newlines, are
// spelled out: JSON may hold some as they are, such as those of C1.
func unescaped(text string) string {
	var out strings.Builder
	for _, r := range text {
		if r == '\n' || r >= ' ' && (r < 0x7f || r > 0x9f) && !isBidi(r) {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, "\\u%04x", r)
		}
	}
	return out.String()
}

// isBidi reports whether r turns the direction of what follows.
func isBidi(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }
