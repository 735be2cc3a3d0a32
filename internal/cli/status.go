package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status BATCH",
		Short: "Show what is known of a batch now",
		Long: `Show what is known of a batch now: how far it is, why requests failed, what keeps
others waiting, its deadline and its files.`,
		Example: `  musketry status batch_01…
  musketry status batch_01… --json | jq -r .status`,
		Args:              oneBatch,
		ValidArgsFunction: a.completeBatch,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			v, err := c.batch(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json {
				return v.printJSON(a.env.Stdout)
			}
			h, err := c.history(cmd.Context(), v.ID)
			if err != nil {
				h = history{} // the rest is worth telling without it
			}
			return write(a.env.Stdout, report(v, &h, a.env.Now()))
		},
	}
}

// report returns what a person wants to know of a batch.
func report(v *view, h *history, now time.Time) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			// Writing to a strings.Builder cannot fail.
			_, _ = fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	row("batch", v.ID)
	row("status", string(v.Status))
	row("requests", requests(v))
	if n := h.retrying(now); n > 0 && !v.status().Terminal() {
		row("retrying", number(n, "request"))
	}
	row("failures", h.reasons())
	for _, r := range v.reasons() {
		row("waits", r.words())
	}
	row("endpoint", v.Endpoint)
	row("created", stamp(v.CreatedAt))
	row("deadline", deadline(v, now))
	if end := v.endedAt(); !end.IsZero() {
		row("ended", fmt.Sprintf("%s, after %s", stamp(end.Unix()), span(end.Sub(time.Unix(v.CreatedAt, 0)))))
	}
	row("input", v.InputFileID)
	row("output", v.OutputFileID)
	row("errors", v.ErrorFileID)
	row("metadata", printable(pairs(v.Metadata)))
	_ = w.Flush()
	for _, p := range v.problems() {
		text.WriteString("  " + p + "\n")
	}
	return text.String()
}

func requests(v *view) string {
	c := v.counts()
	if c.Total == 0 {
		return ""
	}
	parts := append([]string{fmt.Sprintf("%d of %d done", c.Done(), c.Total), fmt.Sprintf("%d completed", c.Completed)}, bad(c)...)
	return strings.Join(parts, ", ")
}

// deadline returns when a batch's time is up, and how far off that is while it matters.
func deadline(v *view, now time.Time) string {
	if v.ExpiresAt == 0 {
		return ""
	}
	text := fmt.Sprintf("%s (%s)", stamp(v.ExpiresAt), v.CompletionWindow)
	if remaining := time.Unix(v.ExpiresAt, 0).Sub(now); remaining > 0 && !v.status().Terminal() {
		text += ", in " + span(remaining)
	}
	return text
}

func pairs(m map[string]string) string {
	var all []string
	for k, v := range m {
		all = append(all, k+"="+v)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
