package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/spf13/cobra"
)

func (a *app) retryCommand() *cobra.Command {
	var (
		f      follow
		window string
		pairs  []string
	)
	cmd := &cobra.Command{
		Use:   "retry BATCH",
		Short: "Start a batch of what failed in one that has ended",
		Long: `Start a new batch of the requests that failed, expired or were cancelled in a batch
that has ended. That batch stays as it is, and no request that was answered is sent
again. The new batch's id is printed.`,
		Example: `  musketry retry batch_01… --watch
  musketry retry batch_01… -o more-answers.jsonl --errors still-failing.jsonl`,
		Args:              oneBatch,
		ValidArgsFunction: a.completeBatch,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, a.json); err != nil {
				return err
			}
			body := map[string]any{}
			if window != "" {
				if err := checkWindow(window); err != nil {
					return err
				}
				body["completion_window"] = window
			}
			if len(pairs) > 0 {
				metadata, err := parseMetadata(pairs)
				if err != nil {
					return err
				}
				body["metadata"] = metadata
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.retry(cmd.Context(), c, args[0], body, f)
		},
	}
	cmd.Flags().StringVar(&window, "window", "", "time the new batch has, from 10s to 7d (default: as the first)")
	cmd.Flags().StringArrayVar(&pairs, "metadata", nil, "key=value to keep with the batch (default: as the first); may be repeated")
	f.flags(cmd.Flags())
	return cmd
}

func (a *app) retry(ctx context.Context, c *client, id string, body map[string]any, f follow) error {
	if _, err := c.batch(ctx, id); err != nil {
		return err
	}
	var raw []byte
	err := c.own.Execute(ctx, http.MethodPost, "batches/"+url.PathEscape(id)+"/retry", body, &raw,
		option.WithHeader("Idempotency-Key", a.env.NewID()))
	if foreign(err) {
		return fmt.Errorf(`this server cannot retry a batch, as OpenAI's cannot; Musketry's can. Fetch what failed with "musketry results %s --failed"`, id)
	}
	if err != nil {
		return a.unsure(ctx, err)
	}
	var b openai.Batch
	if err := json.Unmarshal(raw, &b); err != nil {
		return fmt.Errorf("the server's new batch is no JSON: %w", err)
	}
	return a.started(ctx, c, &view{Batch: b}, f)
}
