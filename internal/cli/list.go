package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

const (
	listDefault = 20
	listMax     = 10_000
	// pageMax is the largest page that the API gives
	// (https://platform.openai.com/docs/api-reference/batch/list).
	pageMax = 100
)

// A batchFilter says which batches of a list are meant.
type batchFilter struct {
	statuses []string
	search   string
	metadata []string
	since    time.Duration // 0: always
}

func (a *app) listCommand() *cobra.Command {
	limit, after := 0, ""
	var (
		f     batchFilter
		since string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List batches, the newest first",
		Long: `List batches, the newest first. --status, --search, --metadata and --since leave out
what does not match; of 10,000 batches at most, beyond which --after goes on.`,
		Example: `  musketry list
  musketry list --status in_progress --status validating
  musketry list --since 24h --metadata team=search
  musketry list --limit 100 --json | jq -r 'select(.request_counts.failed > 0).id'
  musketry list --after batch_01…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			if since != "" {
				var err error
				if f.since, err = parseSince(since); err != nil {
					return err
				}
			}
			if err := f.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.list(cmd.Context(), c, after, limit, f)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&limit, "limit", listDefault, "how many to show at most")
	flags.StringVar(&after, "after", "", "go on after this batch")
	flags.StringSliceVar(&f.statuses, "status", nil, "only with this status: "+strings.Join(batchStatuses(), ", ")+"; may be repeated")
	flags.StringVar(&f.search, "search", "", "only with this text in the id, input file, endpoint, model or metadata")
	flags.StringArrayVar(&f.metadata, "metadata", nil, "only with this key=value; may be repeated")
	flags.StringVar(&since, "since", "", "only those of so long ago at most, such as 90m, 24h or 7d")
	completeFlag(cmd, "status", batchStatuses()...)
	return cmd
}

func checkLimit(limit int) error {
	if limit < 1 || limit > listMax {
		return fmt.Errorf("--limit: %d is not between 1 and %d", limit, listMax)
	}
	return nil
}

func batchStatuses() []string {
	return []string{
		string(batch.StatusValidating), string(batch.StatusInProgress), string(batch.StatusFinalizing), string(batch.StatusCompleted),
		string(batch.StatusFailed), string(batch.StatusExpired), string(batch.StatusCanceling), string(batch.StatusCanceled),
	}
}

// parseSince reads a span of time, which may be in days.
func parseSince(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n := 0
		if _, err = fmt.Sscanf(days+"\n", "%d\n", &n); err == nil && n < 100_000 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("--since: %.32q is no span of time; write it like 90m, 24h or 7d", text)
	}
	return d, nil
}

func (f *batchFilter) check() error {
	for _, s := range f.statuses {
		if !slices.Contains(batchStatuses(), s) {
			return fmt.Errorf("--status: %.32q is none of %s", s, strings.Join(batchStatuses(), ", "))
		}
	}
	for _, pair := range f.metadata {
		if key, _, ok := strings.Cut(pair, "="); !ok || key == "" {
			return fmt.Errorf("--metadata: %.64q is not of the form key=value", pair)
		}
	}
	return nil
}

// passes reports whether a batch is meant.
func (f *batchFilter) passes(v *view) bool {
	if len(f.statuses) > 0 && !slices.Contains(f.statuses, string(v.Status)) {
		return false
	}
	for _, pair := range f.metadata {
		key, value, _ := strings.Cut(pair, "=")
		if has, ok := v.Metadata[key]; !ok || has != value {
			return false
		}
	}
	if f.search == "" {
		return true
	}
	words := []string{v.ID, v.InputFileID, v.Endpoint, v.Model, pairs(v.Metadata)}
	return strings.Contains(strings.ToLower(strings.Join(words, "\n")), strings.ToLower(f.search))
}

// errEnough ends a walk over a list.
var errEnough = errors.New("enough")

// walk calls show with the batches that a filter lets pass, until it returns
// errEnough, and returns how many were looked at and the last of them.
func (f *batchFilter) walk(ctx context.Context, c *client, after string, perPage int, now time.Time, show func(*view) error) (int, string, error) {
	query := openai.BatchListParams{Limit: openai.Int(int64(perPage))}
	if after != "" {
		query.After = openai.String(after)
	}
	looked, last := 0, ""
	pages := c.batches.ListAutoPaging(ctx, query)
	for looked < listMax && pages.Next() {
		v := &view{Batch: pages.Current()}
		if f.since > 0 && now.Sub(time.Unix(v.CreatedAt, 0)) > f.since {
			return looked, last, nil // and so are all that follow
		}
		looked, last = looked+1, v.ID
		if !f.passes(v) {
			continue
		}
		if err := show(v); errors.Is(err, errEnough) {
			return looked, last, nil
		} else if err != nil {
			return looked, last, err
		}
	}
	return looked, last, pages.Err()
}

func (a *app) list(ctx context.Context, c *client, after string, limit int, f batchFilter) error {
	perPage := min(limit, pageMax)
	if f.narrows() {
		perPage = pageMax
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	// Writing to a strings.Builder cannot fail.
	_, _ = fmt.Fprintln(w, "BATCH\tSTATUS\tDONE\tTOTAL\tNOT COMPLETED\tCREATED")
	shown := 0
	looked, last, err := f.walk(ctx, c, after, perPage, a.env.Now(), func(v *view) error {
		if shown++; a.json {
			if err := v.printJSON(a.env.Stdout); err != nil {
				return err
			}
		}
		n := v.counts()
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n",
			v.ID, v.Status, n.Done(), n.Total, n.Done()-n.Completed, stamp(v.CreatedAt))
		if shown == limit {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !a.json && shown > 0 {
		_ = w.Flush()
		if err := write(a.env.Stdout, table.String()); err != nil {
			return err
		}
	}
	a.noteMore(shown, looked, limit, last)
	return nil
}

// noteMore says what a list of batches leaves out, or why it is empty.
func (a *app) noteMore(shown, looked, limit int, last string) {
	switch {
	case shown == limit && !a.json, looked == listMax:
		a.note("There may be more: musketry list --after %s", last)
	case shown == 0 && !a.json && looked > 0:
		a.note("None of %s matches.", numberOf(looked, "batch", "batches"))
	case shown == 0 && !a.json:
		a.note("There are no batches.")
	}
}

// narrows reports whether f leaves out some of what a page has.
func (f *batchFilter) narrows() bool {
	return len(f.statuses) > 0 || len(f.metadata) > 0 || f.search != ""
}
