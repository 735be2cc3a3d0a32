package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/openai/openai-go/v3"
	"github.com/spf13/cobra"
)

const (
	listDefault = 20
	listMax     = 10_000
	// pageMax is the largest page that the API gives
	// (https://platform.openai.com/docs/api-reference/batch/list).
	pageMax = 100
)

func (a *app) listCommand() *cobra.Command {
	limit, after := 0, ""
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List batches, the newest first",
		Example: `  musketry list
  musketry list --limit 100 --json | jq -r 'select(.status=="failed").id'
  musketry list --after batch_01…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > listMax {
				return fmt.Errorf("--limit: %d is not between 1 and %d", limit, listMax)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.list(cmd.Context(), c, after, limit)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", listDefault, "how many to show at most")
	cmd.Flags().StringVar(&after, "after", "", "go on after this batch")
	return cmd
}

func (a *app) list(ctx context.Context, c *client, after string, limit int) error {
	query := openai.BatchListParams{Limit: openai.Int(int64(min(limit, pageMax)))}
	if after != "" {
		query.After = openai.String(after)
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	// Writing to a strings.Builder cannot fail.
	_, _ = fmt.Fprintln(w, "BATCH\tSTATUS\tDONE\tTOTAL\tNOT COMPLETED\tCREATED")
	shown, last := 0, ""
	pages := c.batches.ListAutoPaging(ctx, query)
	for shown < limit && pages.Next() {
		v := &view{Batch: pages.Current()}
		shown, last = shown+1, v.ID
		if a.json {
			if err := v.printJSON(a.env.Stdout); err != nil {
				return err
			}
			continue
		}
		n := v.counts()
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n",
			v.ID, v.Status, n.Done(), n.Total, n.Done()-n.Completed, stamp(v.CreatedAt))
	}
	if err := pages.Err(); err != nil {
		return err
	}
	if a.json {
		return nil
	}
	if shown == 0 {
		a.note("There are no batches.")
		return nil
	}
	_ = w.Flush()
	if err := write(a.env.Stdout, text.String()); err != nil {
		return err
	}
	if shown == limit {
		a.note("There may be more: musketry list --after %s", last)
	}
	return nil
}
