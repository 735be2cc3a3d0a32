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
	"github.com/spf13/pflag"

	"github.com/musketry/musketry/internal/batch"
)

// maxMetadata is how many pairs a batch may have
// (https://platform.openai.com/docs/api-reference/batch/create).
const maxMetadata = 16

// An order is what a batch is made of besides the file.
type order struct {
	endpoint string
	window   string
	metadata []string
}

// flags adds the flags by which a batch is ordered.
func (o *order) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.endpoint, "endpoint", "", "path that every request goes to (default: the first line's url)")
	flags.StringVar(&o.window, "window", "24h", "time the batch has, from 10s to 7d")
	flags.StringArrayVar(&o.metadata, "metadata", nil, "key=value to keep with the batch; may be repeated")
}

// fileArg accepts exactly one argument, a file of requests.
func fileArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError(cmd, errors.New("name one file of requests, or - for standard input"))
	}
	return nil
}

func (a *app) submitCommand() *cobra.Command {
	var (
		o order
		f follow
	)
	cmd := &cobra.Command{
		Use:   "submit FILE",
		Short: "Send a file of requests and start a batch of them",
		Long: `Send a file of requests and start a batch of them. The batch's id is printed.

FILE is JSONL, one request a line; "-" reads standard input. Files of more than
4 MB are sent in parts, four at a time, and a file that gzip has compressed is
unpacked by the server. Before a large file is sent, the server is asked for the
limits of its tenant.

The batch goes on by itself. With --watch, --wait or -o the command stays until
its end; Ctrl-C leaves the batch running.`,
		Example: `  musketry submit requests.jsonl
  musketry submit requests.jsonl --window 2h --watch
  musketry submit requests.jsonl --wait && echo all answered
  musketry submit requests.jsonl --metadata team=search --metadata run=7
  generate-requests | musketry submit - --json`,
		Args:              fileArg,
		ValidArgsFunction: completeFiles("jsonl", "gz"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, a.json); err != nil {
				return err
			}
			return a.submit(cmd.Context(), args[0], o, f)
		},
	}
	o.flags(cmd.Flags())
	f.flags(cmd.Flags())
	return cmd
}

func (a *app) runCommand() *cobra.Command {
	var o order
	f := follow{watch: true}
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Send a file of requests, watch its batch and fetch the answers",
		Long: `Send a file of requests, watch its batch to the end and fetch the answers: submit,
watch and results in one. The exit code says how the batch ended.

Ctrl-C leaves the batch running and says how to come back. A file that is named
is written whole or not at all.`,
		Example: `  musketry run requests.jsonl -o answers.jsonl
  musketry run requests.jsonl -o answers.jsonl --errors failures.jsonl --window 2h
  musketry run requests.jsonl | jq -r .response.body.choices[0].message.content`,
		Args:              fileArg,
		ValidArgsFunction: completeFiles("jsonl", "gz"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, a.json); err != nil {
				return err
			}
			return a.submit(cmd.Context(), args[0], o, f)
		},
	}
	o.flags(cmd.Flags())
	cmd.Flags().StringVarP(&f.output, "output", "o", "-", "file to write the answers to; - is standard output")
	cmd.Flags().StringVar(&f.failures, "errors", "", "file to write the requests without an answer to")
	return cmd
}

// submit sends a file and starts a batch of it.
func (a *app) submit(ctx context.Context, name string, o order, f follow) error {
	if err := checkWindow(o.window); err != nil {
		return err
	}
	metadata, err := parseMetadata(o.metadata)
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
	if o.endpoint == "" {
		if o.endpoint, err = in.endpoint(); err != nil {
			return err
		}
	}
	if err := a.admit(ctx, c, in); err != nil {
		return err
	}
	fileID, err := a.upload(ctx, c, in)
	if err != nil {
		return err
	}
	b, err := c.batches.New(ctx, openai.BatchNewParams{
		InputFileID:      fileID,
		Endpoint:         openai.BatchNewParamsEndpoint(o.endpoint),
		CompletionWindow: openai.BatchNewParamsCompletionWindow(o.window),
		Metadata:         metadata,
		// The SDK repeats a call whose answer was lost; the key keeps that from
		// starting a second batch.
	}, option.WithHeader("Idempotency-Key", a.env.NewID()))
	if err != nil {
		return a.unsure(ctx, fmt.Errorf("starting a batch of %s (sent as %s): %w", in.name, fileID, err))
	}
	return a.started(ctx, c, &view{Batch: *b}, f)
}

// unsure returns err, of starting a batch, after saying that it may have started
// although it was interrupted.
func (a *app) unsure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		a.note("The batch may have started all the same: \"musketry list\" shows it then.")
	}
	return err
}

func checkWindow(window string) error {
	if _, err := batch.ParseWindow(window); err != nil {
		return fmt.Errorf("--window: %.32q is no time from 10s to 7d; write it like 30m, 24h or 7d", window)
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
