// Command godoc writes a batch about Go's standard library: one request a
// package or command, asking for a summary for newcomers. It reads the Go
// installation's own source; the network is not needed.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/musketry/musketry/examples/godoc/prompts"
)

func main() {
	output := flag.String("o", "-", "`file` to write the requests to; - is standard output")
	model := flag.String("model", "standin", "`name` of the model that is asked")
	limit := flag.Int("n", 0, "write at most so many requests; 0: all")
	internal := flag.Bool("internal", false, "take in the packages that only Go itself may import")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n, err := run(ctx, *output, prompts.Options{Model: *model, Limit: *limit, Internal: *internal})
	if err != nil {
		fmt.Fprintln(os.Stderr, "godoc:", err)
		os.Exit(1) //nolint:gocritic // the context ends with the process
	}
	fmt.Fprintf(os.Stderr, "godoc: %d requests\n", n)
}

func run(ctx context.Context, output string, o prompts.Options) (n int, err error) {
	packages, err := prompts.List(ctx, "go", o)
	if err != nil {
		return 0, err
	}
	f := os.Stdout
	if output != "-" {
		if f, err = os.Create(output); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
	}
	w := bufio.NewWriter(io.Writer(f))
	if err := prompts.Write(w, packages, o.Model); err != nil {
		return 0, err
	}
	return len(packages), w.Flush()
}
