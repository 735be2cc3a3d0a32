// Command bench runs measurements and prints one JSON object a line: what was measured, on which machine, engine and
// commit, and each figure under its unit.
//
//	bench                  all that need no local cloud
//	bench budget worker    those
//
// Figures of a shared machine are for comparison within one run; those in virtual time are not the machine's.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // the context ends with the process
	}
}
