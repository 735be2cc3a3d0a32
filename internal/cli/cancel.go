package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

func (a *app) cancelCommand() *cobra.Command {
	all, yes := false, false
	cmd := &cobra.Command{
		Use:   "cancel BATCH…",
		Short: "Stop batches and keep what they have done",
		Long: `Stop batches. Calls in flight are given up; answers that are there already are
kept, and can be fetched with "musketry results".

--all stops every batch that has not ended. It asks first at a terminal, and needs
--yes elsewhere.`,
		Example: `  musketry cancel batch_01…
  musketry cancel batch_01… && musketry watch batch_01…
  musketry cancel --all --yes`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return usageError(cmd, errors.New("--all stops every batch: name none beside it"))
			}
			if all {
				return nil
			}
			return someBatches(cmd, args)
		},
		ValidArgsFunction: a.completeBatches,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if !all {
				return a.cancel(cmd.Context(), c, args)
			}
			ids, err := a.unfinished(cmd.Context(), c)
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				a.note("No batch is unfinished.")
				return nil
			}
			if err := a.confirm(cmd.Context(), yes, "Stop "+numberOf(len(ids), "batch", "batches")+"?"); err != nil {
				return err
			}
			return a.cancel(cmd.Context(), c, ids)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "stop every batch that has not ended")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --all: do not ask")
	return cmd
}

// cancel stops batches.
func (a *app) cancel(ctx context.Context, c *client, ids []string) error {
	return each(ctx, ids, func(id string) error {
		b, err := c.batches.Cancel(ctx, id)
		if err != nil {
			return err
		}
		v := &view{Batch: *b}
		if a.json {
			return v.printJSON(a.env.Stdout)
		}
		if err := write(a.env.Stdout, fmt.Sprintf("%s %s\n", v.ID, v.Status)); err != nil {
			return err
		}
		if v.status() == batch.StatusCanceling && len(ids) == 1 {
			a.note("See it end with: musketry watch %s", v.ID)
		}
		return nil
	})
}

// each does something with each of some names, although it failed with others.
func each(ctx context.Context, names []string, do func(name string) error) error {
	var failed []error
	for _, name := range names {
		err := do(name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 1 {
		return failed[0]
	}
	return joined(failed)
}

// joined returns errors as one, in words, since each may be an answer of its own.
func joined(all []error) error {
	if len(all) == 0 {
		return nil
	}
	words := make([]string, len(all))
	for i, err := range all {
		words[i] = explain(err)
	}
	return errors.New(strings.Join(words, "\n"))
}

// unfinished returns the ids of all batches that have not ended.
func (a *app) unfinished(ctx context.Context, c *client) ([]string, error) {
	var ids []string
	pages := c.batches.ListAutoPaging(ctx, openai.BatchListParams{Limit: openai.Int(pageMax)})
	for looked := 0; pages.Next(); looked++ {
		v := &view{Batch: pages.Current()}
		if !v.status().Terminal() && v.status() != batch.StatusCanceling {
			ids = append(ids, v.ID)
		}
		if looked == listMax {
			a.note("Only the newest %d batches were looked at.", listMax)
			break
		}
	}
	return ids, pages.Err()
}

// confirm returns nil if a person at the terminal says yes, or said so before.
func (a *app) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !a.env.Asks {
		return errors.New("nobody is there to ask: give --yes if you are sure")
	}
	_, _ = fmt.Fprintf(a.env.Stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(&stopReader{ctx: ctx, r: a.env.Stdin}).ReadString('\n')
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	if err != nil && answer == "" {
		_, _ = fmt.Fprintln(a.env.Stderr)
	}
	return errors.New("nothing was done, as you did not say yes")
}
