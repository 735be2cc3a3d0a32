package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// The exit codes. Commands that see a batch's end (run, submit and retry with --watch,
// --wait or -o, watch and results) say with them how it ended.
const (
	// ExitOK says that the command did its work, and that no request of the
	// batch, if its end was seen, failed.
	ExitOK = 0
	// ExitError says that the command could not do its work: it was called
	// wrongly, or a file, the network or the API failed. It is validate's too for
	// a file that a server would refuse.
	ExitError = 1
	// ExitEnded says that the batch failed, expired or was cancelled.
	ExitEnded = 2
	// ExitFailures says that the batch completed and some of its requests failed.
	ExitFailures = 3
	// ExitUnhealthy says that doctor found a failure. Warnings are none.
	ExitUnhealthy = 4
	// ExitUnfinished says that results were fetched of a batch that has not ended:
	// there will be more of them.
	ExitUnfinished = 5
	// ExitInterrupted says that the command was interrupted; a batch that it
	// had submitted or watched goes on. Shells use the same number for Ctrl-C.
	ExitInterrupted = 130
)

// errInterrupted reports that the user ended the command before its work was done.
var errInterrupted = errors.New("interrupted")

// ErrUnhealthy is what a command returns whose findings, which it has shown,
// have a failure among them. Run returns ExitUnhealthy for it.
var ErrUnhealthy = errors.New("the deployment is not well")

// An outcomeError carries the exit code of a batch whose end was shown already.
type outcomeError struct{ code int }

func (e *outcomeError) Error() string {
	return fmt.Sprintf("the batch ended with exit code %d", e.code)
}

// Run runs the command with args, the program's name left out, until it is done
// or ctx is, and returns its exit code. The admin commands are those that need
// more than the API; they are put below "musketry admin", but for those whose
// GroupID is GroupDeployment, which stand beside it.
func Run(ctx context.Context, env Env, args []string, admin ...*cobra.Command) int {
	root := newRoot(env, admin) //nolint:contextcheck // its commands get ctx from cobra, below
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var outcome *outcomeError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &outcome):
		return outcome.code
	case errors.Is(err, ErrUnhealthy):
		return ExitUnhealthy
	case errors.Is(err, errInterrupted):
		return ExitInterrupted
	case ctx.Err() != nil:
		_, _ = fmt.Fprintln(env.Stderr, "Interrupted.")
		return ExitInterrupted
	}
	_, _ = fmt.Fprintf(env.Stderr, "%s: %s\n", cmd.CommandPath(), explain(err))
	return ExitError
}
