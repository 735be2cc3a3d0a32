package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A follow says what a command does with a batch that it has started.
type follow struct {
	watch    bool   // show progress until the end
	wait     bool   // say nothing until the end
	output   string // where the answers go at the end; empty: nowhere
	failures string // where the requests without an answer go
}

// flags adds those of a command that may leave the batch to itself.
func (f *follow) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&f.watch, "watch", false, "show progress until the batch has ended")
	flags.BoolVar(&f.wait, "wait", false, "wait without a word until the batch has ended")
	flags.StringVarP(&f.output, "output", "o", "", "wait, then write the answers to this file; - is standard output")
	flags.StringVar(&f.failures, "errors", "", "with -o: file to write the requests without an answer to")
}

// check returns what is wrong with what was asked for.
func (f *follow) check(cmd *cobra.Command, json bool) error {
	switch {
	case f.watch && f.wait:
		return usageError(cmd, errors.New("--watch shows progress and --wait shows none: give one of them"))
	case f.failures != "" && f.output == "":
		return usageError(cmd, errors.New("--errors goes with -o: name a file for the answers too"))
	}
	return checkTargets(cmd, json, f.output, f.failures)
}

// checkTargets refuses two files that are one, and JSON among answers.
func checkTargets(cmd *cobra.Command, json bool, output, failures string) error {
	switch {
	case json && (output == "-" || failures == "-"):
		return usageError(cmd, errors.New("--json describes files: name them with -o FILE and --errors FILE"))
	case output != "" && output == failures:
		return usageError(cmd, errors.New("-o and --errors name the same file"))
	}
	return nil
}

// ends reports whether the command waits for the batch's end.
func (f *follow) ends() bool { return f.watch || f.wait || f.output != "" }

// started tells of a new batch and, if asked, sees it to its end and fetches
// what it brought.
func (a *app) started(ctx context.Context, c *client, v *view, f follow) error {
	if err := a.name(v, f); err != nil {
		return err
	}
	if !f.ends() {
		if !a.json {
			a.note("Follow it with: musketry watch %s", v.ID)
		}
		return nil
	}
	d := a.display()
	if shown, ok := d.(*jsonDisplay); ok {
		shown.last = v.RawJSON() // it is told already
	}
	if !f.watch {
		d = &silentDisplay{err: a.env.Stderr}
	}
	ended, err := a.see(ctx, c, v.ID, true, d, f.fetch(v.ID))
	if err != nil {
		return err
	}
	if f.output == "" {
		return a.conclude(ended, !f.watch)
	}
	err = a.bring(ctx, c, ended, f.output, f.failures)
	if err != nil && ctx.Err() != nil {
		a.note("%s has ended, and its results are kept.\n  fetch them: %s", v.ID, f.fetch(v.ID))
		return errInterrupted
	}
	return err
}

// name prints the batch's id, where it is not among answers.
func (a *app) name(v *view, f follow) error {
	switch {
	case a.json:
		return v.printJSON(a.env.Stdout)
	case f.output == "-":
		a.note("%s", v.ID)
		return nil
	}
	return write(a.env.Stdout, v.ID+"\n")
}

// fetch returns the command that fetches what this would have; empty if nothing.
func (f *follow) fetch(id string) string {
	if f.output == "" {
		return ""
	}
	text := "musketry results " + id
	if f.output != "-" {
		text += " -o " + shellWord(f.output)
	}
	if f.failures != "" {
		text += " --errors " + shellWord(f.failures)
	}
	return text
}

// shellWord returns a word as a POSIX shell reads it.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// see shows a batch until it has ended, and returns how it ended. Seen says that
// the server has shown the batch already, so that its silence is worth waiting
// out; else the address may simply be wrong. Interrupted, it says how to come
// back, and how to fetch the results then, and returns errInterrupted.
func (a *app) see(ctx context.Context, c *client, id string, seen bool, d display, fetch string) (*view, error) {
	v, err := a.follow(ctx, c, id, seen, d)
	d.close()
	if ctx.Err() == nil || err == nil {
		return v, err
	}
	a.note("%s goes on without you.\n  come back:  musketry watch %s", id, id)
	if fetch != "" {
		a.note("  then fetch: %s", fetch)
	}
	a.note("  stop it:    musketry cancel %s", id)
	return nil, errInterrupted
}

// conclude tells how a batch ended, and returns what the command ends with. Of
// JSON the end is a part only where what went before it was not shown.
func (a *app) conclude(v *view, unseen bool) error {
	var err error
	switch {
	case !a.json:
		err = write(a.env.Stdout, v.summary()+"\n")
	case unseen:
		err = v.printJSON(a.env.Stdout)
	}
	if err != nil {
		return err
	}
	a.noteProblems(v)
	if !a.json {
		a.noteResults(v)
	}
	return v.outcome()
}

// noteProblems says why a batch's file was refused.
func (a *app) noteProblems(v *view) {
	for _, p := range v.problems() {
		a.note("  %s", p)
	}
}

// A silentDisplay shows nothing but that the batch cannot be seen.
type silentDisplay struct{ err io.Writer }

func (d *silentDisplay) show(progress) error { return nil }

func (d *silentDisplay) trouble(err error) {
	_, _ = fmt.Fprintf(d.err, "no answer, trying again: %s\n", firstLine(err.Error()))
}

func (d *silentDisplay) close() {}
