package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/tenant"
)

const (
	// shownActs is how many acts "log" shows unless it is told otherwise, mostActs the
	// most that it can be told.
	shownActs = 50
	mostActs  = 1000
)

// do logs an act, in the deployment and on standard error, and then does it: what cannot
// be logged is not done. Of an act that fails the log says so in a second line; one
// without it may have been cut off.
func (a *admin) do(ctx context.Context, cmd *cobra.Command, store actStore, act tenant.Act, do func() error) error {
	act.At = a.now()
	who, err := a.who(ctx)
	if err != nil {
		cmd.PrintErrf("The log of acts will not know who you are: %v\n", err)
	}
	act.Who = who
	if err := store.PutAct(ctx, act); err != nil {
		return fmt.Errorf("log the act, without which it is not done: %w", err)
	}
	cmd.PrintErrln(act)
	if err = do(); err == nil {
		return nil
	}
	act.At, act.What = a.now(), act.What+" failed"
	cmd.PrintErrln(act)
	return errors.Join(err, store.PutAct(ctx, act))
}

// keyAct is what is done to a key.
func keyAct(what string, k tenant.Key) tenant.Act {
	with := fmt.Sprintf("key=%.*s name=%.64q", shownHash, k.Hash, k.Name)
	if k.ReadOnly {
		with += " read-only"
	}
	if !k.ExpiresAt.IsZero() {
		with += " expires=" + moment(k.ExpiresAt)
	}
	return tenant.Act{What: what, On: k.Tenant, With: with}
}

// modelAct is what is done to a model: where its routes lead, and by which flags. What these
// say besides, such as headers, stays out of the log.
func modelAct(what string, m route.Model, flags *pflag.FlagSet) tenant.Act {
	with := []string{fmt.Sprintf("revision=%d", m.Revision)}
	for _, r := range m.Routes {
		with = append(with, r.Name+"="+r.BaseURL)
	}
	names := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { names[f.Name] = f.Name != "table" })
	maps.DeleteFunc(names, func(_ string, counts bool) bool { return !counts })
	if len(names) > 0 {
		with = append(with, "flags="+strings.Join(slices.Sorted(maps.Keys(names)), ","))
	}
	return tenant.Act{What: what, On: m.Pattern, With: strings.Join(with, " ")}
}

// logCommand returns "log", which shows what was done to keys and models.
func (a *admin) logCommand() *cobra.Command {
	var (
		limit  int
		before string
	)
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show who did what to keys and models, newest first",
		Long: "Show who did what to keys and models, newest first: a line an act, with its time in UTC, the\n" +
			"AWS identity that did it, and what it was done to. A line is written before its act, and a\n" +
			"second one if that fails.",
		Example: `  musketry admin log
  musketry admin log --limit 1000 --before 2027-01-01`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > mostActs {
				return fmt.Errorf("--limit: 1 to %d", mostActs)
			}
			until, err := timeOf(before)
			if err != nil {
				return fmt.Errorf("--before: %w", err)
			}
			return a.with(cmd.Context(), func(ctx context.Context, store adminStore) error {
				return printActs(ctx, cmd, store, until, limit)
			})
		},
	}
	a.tableFlag(cmd)
	cmd.Flags().IntVar(&limit, "limit", shownActs, fmt.Sprintf("how many at most, 1 to %d", mostActs))
	cmd.Flags().StringVar(&before, "before", "", "only what was before a day or a time in UTC, such as 2027-01-01 or 2027-01-01T12:30:00Z")
	return cmd
}

// An actRow is what the log has of an act.
type actRow struct {
	At   time.Time `json:"at"`
	Who  string    `json:"who"` // empty: nobody knows
	What string    `json:"what"`
	On   string    `json:"on"`
	With string    `json:"with"`
}

func printActs(ctx context.Context, cmd *cobra.Command, store actStore, before time.Time, limit int) error {
	acts, more, err := store.Acts(ctx, before, limit)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		rows := make([]actRow, len(acts))
		for i, act := range acts {
			rows[i] = actRow(act)
			rows[i].At = act.At.UTC()
		}
		return printLines(cmd.OutOrStdout(), rows)
	}
	if len(acts) == 0 {
		cmd.PrintErrln("Nothing was done to keys and models.")
		return nil
	}
	for _, act := range acts {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), act); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
	}
	if more {
		// With the last one's own millisecond, in which there may be another.
		cmd.PrintErrf("There are more: --before %s\n", acts[len(acts)-1].At.UTC().Add(time.Millisecond).Format(time.RFC3339Nano))
	}
	return nil
}

// timeOf reads a time, or the beginning of a day in UTC. Empty is the zero time.
func timeOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.64q is neither a day, such as 2027-01-01, nor a time, such as 2027-01-01T12:30:00Z", text)
	}
	return at, nil
}
