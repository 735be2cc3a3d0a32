// Command demo runs the demonstration's batch through a deployment that is up, by the CLI and the program that writes
// its input, and shows what came of it: counts, three answers, the time, and the AWS calls it took.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", ".tools/bin", "folder of the programs musketry and godoc")
	dir := flag.String("dir", ".cloud/demo", "folder for input and answers")
	model := flag.String("model", "gpt-4o-mini", "model that is asked")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := demo{
		bin: *bin, dir: *dir, model: *model, engine: os.Getenv("AWS_ENDPOINT_URL"), api: os.Getenv("OPENAI_BASE_URL"),
		out: os.Stdout, progress: os.Stderr, now: time.Now,
	}
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1) //nolint:gocritic // the context ends with the process
	}
}
