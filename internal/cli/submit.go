package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

// maxMetadata is how many pairs a batch may have
// (https://platform.openai.com/docs/api-reference/batch/create).
const maxMetadata = 16

// submitFlags are what submit is told besides the file.
type submitFlags struct {
	endpoint string
	window   string
	metadata []string
	watch    bool
}

func (a *app) submitCommand() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit FILE",
		Short: "Send a file of requests and start a batch of them",
		Long: `Send a file of requests and start a batch of them. The batch's id is printed.

FILE is JSONL, one request a line; "-" reads standard input. Files of more than
4 MB are sent in parts.`,
		Example: `  musketry submit requests.jsonl
  musketry submit requests.jsonl --window 2h --watch
  musketry submit requests.jsonl --metadata team=search --metadata run=7
  generate-requests | musketry submit - --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError(cmd, errors.New("name one file of requests, or - for standard input"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.submit(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.endpoint, "endpoint", "", "path that every request goes to (default: the first line's url)")
	flags.StringVar(&f.window, "window", "24h", "time the batch has, from 10s to 7d")
	flags.StringArrayVar(&f.metadata, "metadata", nil, "key=value to keep with the batch; may be repeated")
	flags.BoolVar(&f.watch, "watch", false, "show progress until the batch has ended")
	return cmd
}

func (a *app) submit(ctx context.Context, name string, f submitFlags) error {
	if _, err := batch.ParseWindow(f.window); err != nil {
		return fmt.Errorf("--window: %.32q is no time from 10s to 7d; write it like 30m, 24h or 7d", f.window)
	}
	metadata, err := parseMetadata(f.metadata)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	in, err := openInput(ctx, name, a.env.Stdin)
	if err != nil {
		return err
	}
	defer in.close()
	if f.endpoint == "" {
		if f.endpoint, err = in.endpoint(); err != nil {
			return err
		}
	}
	fileID, err := a.upload(ctx, c, in)
	if err != nil {
		return err
	}
	b, err := c.batches.New(ctx, openai.BatchNewParams{
		InputFileID:      fileID,
		Endpoint:         openai.BatchNewParamsEndpoint(f.endpoint),
		CompletionWindow: openai.BatchNewParamsCompletionWindow(f.window),
		Metadata:         metadata,
		// The SDK repeats a call whose answer was lost; the key keeps that from
		// starting a second batch.
	}, option.WithHeader("Idempotency-Key", a.env.NewID()))
	if err != nil {
		return fmt.Errorf("starting a batch of %s (sent as %s): %w", in.name, fileID, err)
	}
	return a.submitted(ctx, c, &view{Batch: *b}, f.watch)
}

// submitted tells of a new batch and, if asked, watches it to its end.
func (a *app) submitted(ctx context.Context, c *client, v *view, watch bool) error {
	var err error
	if a.json {
		err = v.printJSON(a.env.Stdout)
	} else {
		err = write(a.env.Stdout, v.ID+"\n")
	}
	if err != nil {
		return err
	}
	if watch {
		return a.watch(ctx, c, v.ID, true)
	}
	if !a.json {
		a.note("Follow it with: musketry watch %s", v.ID)
	}
	return nil
}

func parseMetadata(pairs []string) (shared.Metadata, error) {
	if len(pairs) > maxMetadata {
		return nil, fmt.Errorf("--metadata: %d pairs are more than the %d that a batch may have", len(pairs), maxMetadata)
	}
	metadata := shared.Metadata{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--metadata: %.64q is not of the form key=value", pair)
		}
		if _, twice := metadata[key]; twice {
			return nil, fmt.Errorf("--metadata: the key %.64q is given twice", key)
		}
		metadata[key] = value
	}
	return metadata, nil
}
