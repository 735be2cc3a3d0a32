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
	// Of lines in the order in which they came: where to go on, and whether the
	// batch has ended and these were the rest.
	Cursor   string `json:"cursor,omitempty"`
	Complete *bool  `json:"complete,omitempty"`
}

// A target is a file that was written.
type target struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// resultFlags are what results is told besides the batch.
type resultFlags struct {
	output, failures string
	failed           bool   // only the requests without an answer, to output
	follow           bool   // until the end, as they come
	after            string // a cursor
}

// words returns the flags that say where lines go, as a shell reads them.
func (f *resultFlags) words() string {
	text := ""
	if f.failed {
		text += " --failed"
	}
	if f.output != "-" {
		text += " -o " + shellWord(f.output)
	}
	if f.failures != "" {
		text += " --errors " + shellWord(f.failures)
	}
	return text
}

func (a *app) resultsCommand() *cobra.Command {
	var f resultFlags
	cmd := &cobra.Command{
		Use:   "results BATCH",
		Short: "Fetch a batch's answers, also before its end",
		Long: `Fetch the answers of a batch, one a line. With --errors, fetch too why others have
none: requests that failed, expired or were cancelled. With --failed, fetch only
those.

Of a batch that has ended they are in the order of its requests. A file that is
named is written whole or not at all; one that has no lines is written empty. A
batch whose file was refused has no results, and nothing is written.

Before the end, what there is comes in the order in which it was answered, and the
exit code is 5. --follow goes on until the end, and writes each line as it comes;
--after goes on where an earlier call stopped, and appends: all that is new or, if
that fails, nothing. --follow says where to go on if it fails. A server that is not
Musketry's gives results at the end only: --follow waits for it.`,
		Example: `  musketry results batch_01… > answers.jsonl
  musketry results batch_01… -o answers.jsonl --errors failures.jsonl
  musketry results batch_01… --failed | jq -r '.custom_id + " " + .error.message'
  musketry results batch_01… --follow | jq -r .response.body.choices[0].message.content`,
		Args:              oneBatch,
		ValidArgsFunction: a.completeBatch,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.failed && f.failures != "" {
				return usageError(cmd, errors.New("--failed writes the requests without an answer to -o: leave --errors out"))
			}
			if err := checkTargets(cmd, a.json, f.output, f.failures); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.results(cmd.Context(), c, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "-", "file to write the answers to; - is standard output")
	flags.StringVar(&f.failures, "errors", "", "file to write the requests without an answer to")
	flags.BoolVar(&f.failed, "failed", false, "only the requests without an answer")
	flags.BoolVar(&f.follow, "follow", false, "go on until the batch has ended, each line as it comes")
	flags.StringVar(&f.after, "after", "", "go on after this cursor, which an earlier call told")
	return cmd
}

func (a *app) results(ctx context.Context, c *client, id string, f resultFlags) error {
	v, err := c.batch(ctx, id)
	switch {
	case err != nil:
		return err
	case v.status().Terminal() && f.after == "":
		return a.wholeFiles(ctx, c, v, f)
	case f.follow:
		return a.followResults(ctx, c, v, f)
	}
	return a.partial(ctx, c, v, f)
}

// wholeFiles fetches an ended batch's files.
func (a *app) wholeFiles(ctx context.Context, c *client, v *view, f resultFlags) error {
	if f.failed {
		return a.bring(ctx, c, v, "", f.output)
	}
	return a.bring(ctx, c, v, f.output, f.failures)
}

// bring fetches an ended batch's answers and failures, each unless its path is
// empty, and returns how the batch ended.
func (a *app) bring(ctx context.Context, c *client, v *view, output, failures string) error {
	a.noteProblems(v)
	if v.status() == batch.StatusFailed && v.OutputFileID == "" && v.ErrorFileID == "" {
		if a.json {
			if err := printValue(a.env.Stdout, fetched{Batch: v.ID, Status: string(v.Status)}); err != nil {
				return err
			}
		}
		a.note("%s; there are no results.", v.summary())
		return v.outcome()
	}
	f := fetched{Batch: v.ID, Status: string(v.Status)}
	var err error
	if output != "" {
		if f.Output, err = a.fetch(ctx, c, v.OutputFileID, output); err != nil {
			return err
		}
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

// printValue writes v as JSON, on one line.
func printValue(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("the result as JSON: %w", err)
	}
	return write(w, string(line)+"\n")
}

func (a *app) tellResults(v *view, f fetched) error {
	if a.json {
		return printValue(a.env.Stdout, f)
	}
	for _, t := range []*target{f.Output, f.Errors} {
		if t != nil && t.Path != "-" {
			a.note("%s: %s", t.Path, size(t.Bytes))
		}
	}
	a.note("%s", v.summary())
	if v.ErrorFileID != "" && f.Errors == nil {
		c := v.counts()
		a.note("%s without an answer; see why with: musketry results %s --failed", number(c.Total-c.Completed, "request"), v.ID)
	}
	if c := v.counts(); c.Completed < c.Total && v.ours() {
		a.note("Try them again with: musketry retry %s --watch", v.ID)
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
