package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

// A fetched is what --json says of the files that results wrote.
type fetched struct {
	Batch  string  `json:"batch"`
	Status string  `json:"status"`
	Output *target `json:"output"`
	Errors *target `json:"errors"`
}

// A target is a file that was written.
type target struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

func (a *app) resultsCommand() *cobra.Command {
	output, failures := "", ""
	cmd := &cobra.Command{
		Use:   "results BATCH",
		Short: "Fetch the answers of a batch that has ended",
		Long: `Fetch the answers of a batch that has ended, one a line, in the order of its
requests. With --errors, fetch too why the others have none: requests that
failed, expired or were cancelled.

A file that is named is written whole or not at all; one that has no lines is
written empty. A batch whose file was refused has no results, and nothing is
written.`,
		Example: `  musketry results batch_01… > answers.jsonl
  musketry results batch_01… -o answers.jsonl --errors failures.jsonl
  musketry results batch_01… | jq -r .response.body.choices[0].message.content`,
		Args: oneBatch,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.json && (output == "-" || failures == "-") {
				return usageError(cmd, errors.New("--json describes files: name them with -o FILE and --errors FILE"))
			}
			if output == "-" && failures == "-" || output == failures {
				return usageError(cmd, errors.New("-o and --errors name the same file"))
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.results(cmd.Context(), c, args[0], output, failures)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "file to write the answers to; - is standard output")
	cmd.Flags().StringVar(&failures, "errors", "", "file to write the requests without an answer to")
	return cmd
}

func (a *app) results(ctx context.Context, c *client, id, output, failures string) error {
	v, err := c.batch(ctx, id)
	if err != nil {
		return err
	}
	if !v.status().Terminal() {
		return fmt.Errorf("%s has not ended: it is %s, %s; its results are there when it has: musketry watch %s",
			id, v.Status, requestsOr(v, "no request done"), id)
	}
	for _, p := range v.problems() {
		a.note("  %s", p)
	}
	if v.status() == batch.StatusFailed && v.OutputFileID == "" && v.ErrorFileID == "" {
		a.note("%s; there are no results.", v.summary())
		return v.outcome()
	}
	f := fetched{Batch: v.ID, Status: string(v.Status)}
	if f.Output, err = a.fetch(ctx, c, v.OutputFileID, output); err != nil {
		return err
	}
	if failures != "" {
		if f.Errors, err = a.fetch(ctx, c, v.ErrorFileID, failures); err != nil {
			return err
		}
	}
	if err := a.tellResults(v, f); err != nil {
		return err
	}
	return v.outcome()
}

func requestsOr(v *view, otherwise string) string {
	if text := requests(v); text != "" {
		return text
	}
	return otherwise
}

func (a *app) tellResults(v *view, f fetched) error {
	if a.json {
		line, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("the result as JSON: %w", err)
		}
		return write(a.env.Stdout, string(line)+"\n")
	}
	for _, t := range []*target{f.Output, f.Errors} {
		if t != nil && t.Path != "-" {
			a.note("%s: %s", t.Path, size(t.Bytes))
		}
	}
	a.note("%s", v.summary())
	if v.ErrorFileID != "" && f.Errors == nil {
		c := v.counts()
		a.note("%s without an answer; see why with: musketry results %s --errors failures.jsonl -o answers.jsonl",
			number(c.Total-c.Completed, "request"), v.ID)
	}
	return nil
}

// fetch writes a file of the API, empty if fileID is, to a path or to standard output.
func (a *app) fetch(ctx context.Context, c *client, fileID, path string) (*target, error) {
	t := &target{Path: path}
	fill := func(w io.Writer) error {
		if fileID == "" {
			return nil
		}
		n, err := a.download(ctx, c, fileID, w)
		t.Bytes = n
		if err != nil {
			return fmt.Errorf("fetching %s: %w", fileID, err)
		}
		return nil
	}
	if path == "-" {
		return t, fill(a.env.Stdout)
	}
	return t, writeFile(path, fill)
}

// writeFile lets fill write a file, which comes to be when it is whole. What is
// there and is no regular file (a pipe, a device) is written as it is.
func writeFile(path string, fill func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeDevice(path, fill)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(fill(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func writeDevice(path string, fill func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}
