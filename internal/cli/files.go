package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/openai/openai-go/v3"
	"github.com/spf13/cobra"
)

func (a *app) filesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "files",
		Short: "List and delete files",
		Long: `List and delete the files that you sent, and those with results. A file that an
unfinished batch uses cannot be deleted.`,
		Example: `  musketry files list --purpose batch_output
  musketry files delete file-01…`,
		Args: knownCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(a.filesListCommand(), a.filesDeleteCommand())
	return cmd
}

func (a *app) filesListCommand() *cobra.Command {
	limit := 0
	var purpose, after string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List files, the newest first",
		Example: `  musketry files list
  musketry files list --purpose batch --json | jq -r .id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			query := openai.FileListParams{Limit: openai.Int(int64(min(limit, pageMax))), Order: openai.FileListParamsOrderDesc}
			if purpose != "" {
				query.Purpose = openai.String(purpose)
			}
			if after != "" {
				query.After = openai.String(after)
			}
			return a.listFiles(cmd.Context(), c, query, limit)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", listDefault, "how many to show at most")
	cmd.Flags().StringVar(&purpose, "purpose", "", "only of this purpose, such as batch or batch_output")
	cmd.Flags().StringVar(&after, "after", "", "go on after this file")
	completeFlag(cmd, "purpose", "batch", "batch_output")
	return cmd
}

func (a *app) listFiles(ctx context.Context, c *client, query openai.FileListParams, limit int) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	// Writing to a strings.Builder cannot fail.
	_, _ = fmt.Fprintln(w, "FILE\tPURPOSE\tSIZE\tCREATED\tEXPIRES\tNAME")
	shown, last := 0, ""
	pages := c.files.ListAutoPaging(ctx, query)
	for shown < limit && pages.Next() {
		f := pages.Current()
		shown, last = shown+1, f.ID
		if a.json {
			if err := printRaw(a.env.Stdout, []byte(f.RawJSON())); err != nil {
				return err
			}
			continue
		}
		expires := "-"
		if f.ExpiresAt > 0 {
			expires = stamp(f.ExpiresAt)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", f.ID, f.Purpose, size(f.Bytes), stamp(f.CreatedAt), expires, printable(f.Filename))
	}
	if err := pages.Err(); err != nil {
		return err
	}
	if a.json {
		return nil
	}
	if shown == 0 {
		a.note("There are no such files.")
		return nil
	}
	_ = w.Flush()
	if err := write(a.env.Stdout, text.String()); err != nil {
		return err
	}
	if shown == limit {
		a.note("There may be more: musketry files list --after %s", last)
	}
	return nil
}

func (a *app) filesDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete FILE…",
		Short: "Delete files for good",
		Example: `  musketry files delete file-01…
  musketry files list --purpose batch --json | jq -r .id | xargs musketry files delete`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(cmd, errors.New(`which file? "musketry files list" shows them`))
			}
			return plainIDs(cmd, args, "file")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			return each(ctx, args, func(id string) error {
				done, err := c.files.Delete(ctx, id)
				if err != nil {
					return err
				}
				if a.json {
					return printRaw(a.env.Stdout, []byte(done.RawJSON()))
				}
				return write(a.env.Stdout, id+" deleted\n")
			})
		},
	}
}
