package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/openai/openai-go/v3/option"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

// lookTimeout is the longest that one attempt of a look at a batch takes.
const lookTimeout = 30 * time.Second

func (a *app) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch BATCH",
		Short: "Show a batch's progress until it has ended",
		Long: `Show a batch's progress until it has ended: a bar on a terminal, plain lines
otherwise, one JSON object a change with --json.

It shows how many requests are done, how many failed and are tried again, how fast
it goes and how long it takes still, and what keeps requests waiting.

Ctrl-C ends the watch and leaves the batch running.`,
		Example: `  musketry watch batch_01…
  musketry watch batch_01… --json | jq .request_counts`,
		Args:              oneBatch,
		ValidArgsFunction: a.completeBatch,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.watch(cmd.Context(), c, args[0])
		},
	}
}

// watch shows a batch's progress until it has ended and returns what the
// command ends with: an *outcomeError, errInterrupted, or why it cannot go on.
func (a *app) watch(ctx context.Context, c *client, id string) error {
	v, err := a.see(ctx, c, id, false, a.display(), "")
	if err != nil {
		return err
	}
	return a.conclude(v, false)
}

// follow looks at a batch until it has ended.
func (a *app) follow(ctx context.Context, c *client, id string, seen bool, d display) (*view, error) {
	var (
		m meter
		l lookout
	)
	begin := a.env.Now()
	good, failures := begin, 0
	for {
		v, err := c.batch(ctx, id)
		now := a.env.Now()
		var pause time.Duration
		switch {
		case err == nil:
			seen, good, failures = true, now, 0
			p := measure(&m, v, now)
			p.retrying = l.retrying(ctx, c, v, now)
			if err := d.show(p); err != nil {
				return nil, err
			}
			if p.status.Terminal() {
				return v, nil
			}
			pause = pace(now.Sub(begin), p.remaining, a.env.Random())
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !seen || !passing(err):
			return nil, err
		case now.Sub(good) >= patience:
			return nil, fmt.Errorf("%s was not to be seen for %s, though it may go on; come back with \"musketry watch %s\": %w",
				id, patience, id, err)
		default:
			failures++
			d.trouble(err)
			pause = setback(failures, a.env.Random())
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// measure returns how far a batch has come and how fast it goes.
func measure(m *meter, v *view, now time.Time) progress {
	p := progress{view: v, at: now, status: v.status(), counts: v.counts()}
	if p.status == batch.StatusInProgress {
		m.observe(now, p.counts.Done())
		p.rate = m.rate()
		p.remaining, _ = m.remaining(p.counts.Total)
	}
	return p
}

// batch returns a batch as it is now.
func (c *client) batch(ctx context.Context, id string) (*view, error) {
	b, err := c.batches.Get(ctx, id, option.WithRequestTimeout(lookTimeout))
	if err != nil {
		return nil, err
	}
	return &view{Batch: *b}, nil
}

// note tells the user something that is not what was asked for.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.env.Stderr, format+"\n", args...)
}

// noteResults says how to get an ended batch's files.
func (a *app) noteResults(v *view) {
	flags := ""
	if v.OutputFileID != "" {
		flags += " -o answers.jsonl"
	}
	if v.ErrorFileID != "" {
		flags += " --errors failures.jsonl"
	}
	if flags != "" {
		a.note("Fetch the results with: musketry results %s%s", v.ID, flags)
	}
}
