package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/openai/openai-go/v3/option"
	"github.com/spf13/cobra"
)

// A usage is what a tenant may have at once, and what it has. A nil limit is
// none, and nil of what is in use is not counted.
type usage struct {
	Tenant string `json:"tenant"`
	Key    struct {
		Name      string `json:"name"`
		ReadOnly  bool   `json:"read_only"`
		CreatedAt int64  `json:"created_at"`
		ExpiresAt *int64 `json:"expires_at"`
	} `json:"key"`
	Limits struct {
		Batches     *int64 `json:"batches"`
		Requests    *int64 `json:"requests"`
		StoredBytes *int64 `json:"stored_bytes"`
		OpenUploads *int64 `json:"open_uploads"`
		Creates     *int64 `json:"creates_per_minute"`
		FileBytes   *int64 `json:"file_bytes"`
		LineBytes   *int64 `json:"line_bytes"`
		Lines       *int64 `json:"lines"`
	} `json:"limits"`
	InUse struct {
		Batches     *int64 `json:"batches"`
		Requests    *int64 `json:"requests"`
		StoredBytes *int64 `json:"stored_bytes"`
		OpenUploads *int64 `json:"open_uploads"`
	} `json:"in_use"`
}

func (a *app) usageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "usage",
		Short: "Show the limits of your tenant, and what of them is in use",
		Long: `Show the limits of your tenant, and what of them is in use: unfinished batches and
their requests, bytes stored, uploads not yet complete, how many files, uploads and
batches may be made in a minute, and how large a file and its lines may be. It says
too which key is used.`,
		Example: `  musketry usage
  musketry usage --json | jq .limits.file_bytes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			u, raw, err := c.usage(cmd.Context())
			switch {
			case foreign(err):
				return unknown("limits")
			case err != nil:
				return err
			case a.json:
				return printRaw(a.env.Stdout, raw)
			}
			return write(a.env.Stdout, u.report(a.env.Now()))
		},
	}
}

// usage asks for the tenant's limits, and returns the answer as it came too.
func (c *client) usage(ctx context.Context) (usage, []byte, error) {
	var raw []byte
	if err := c.own.Execute(ctx, http.MethodGet, "usage", nil, &raw, option.WithRequestTimeout(lookTimeout)); err != nil {
		return usage{}, nil, err
	}
	var u usage
	if err := json.Unmarshal(raw, &u); err != nil {
		return usage{}, nil, fmt.Errorf("the server's limits are no JSON: %w", err)
	}
	return u, raw, nil
}

// report returns what a person wants to know of the limits.
func (u *usage) report(now time.Time) string {
	var text strings.Builder
	text.WriteString("tenant  " + printable(u.Tenant) + "\n")
	text.WriteString("key     " + u.key(now) + "\n\n")
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(what string, inUse, limit *int64, show func(int64) string) {
		// Writing to a strings.Builder cannot fail.
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", what, shown(inUse, "-", show), shown(limit, "no limit", show))
	}
	_, _ = fmt.Fprintln(w, "\tIN USE\tLIMIT")
	row("unfinished batches", u.InUse.Batches, u.Limits.Batches, count)
	row("their requests", u.InUse.Requests, u.Limits.Requests, count)
	row("stored", u.InUse.StoredBytes, u.Limits.StoredBytes, size)
	row("open uploads", u.InUse.OpenUploads, u.Limits.OpenUploads, count)
	row("created a minute", nil, u.Limits.Creates, count)
	row("a file", nil, u.Limits.FileBytes, size)
	row("lines of a file", nil, u.Limits.Lines, count)
	row("a line", nil, u.Limits.LineBytes, size)
	_ = w.Flush()
	return text.String()
}

// key returns what is known of the key.
func (u *usage) key(now time.Time) string {
	parts := []string{"without a name"}
	if u.Key.Name != "" {
		parts[0] = printable(u.Key.Name)
	}
	if u.Key.ReadOnly {
		parts = append(parts, "may read only")
	}
	if u.Key.CreatedAt > 0 {
		parts = append(parts, "made "+stamp(u.Key.CreatedAt))
	}
	if at := u.Key.ExpiresAt; at != nil {
		parts = append(parts, fmt.Sprintf("ends %s, in %s", stamp(*at), span(time.Unix(*at, 0).Sub(now))))
	}
	return strings.Join(parts, ", ")
}

func shown(n *int64, otherwise string, show func(int64) string) string {
	if n == nil {
		return otherwise
	}
	return show(*n)
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// printable returns a text that others chose with nothing in it that could move
// a terminal's cursor.
func printable(text string) string {
	quoted := strconv.QuoteToGraphic(text)
	if inner := quoted[1 : len(quoted)-1]; inner == text {
		return text
	}
	return quoted
}

// printRaw writes an answer of the API as it came, on one line.
func printRaw(w io.Writer, raw []byte) error {
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		return fmt.Errorf("the API's answer is no JSON: %w", err)
	}
	line.WriteByte('\n')
	return write(w, line.String())
}
