// Command standin serves a stand-in LLM provider on a local port. Package provider tells what it answers.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/musketry/musketry/localstack/standin/provider"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on; port 0 picks a free one")
	ready := flag.String("ready-file", "", "file that the base URL is written to once it listens, instead of standard output")
	keys := flag.Int("max-keys", 1_000_000, "how many requests are remembered")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *listen, *ready, provider.Config{Now: time.Now, MaxKeys: *keys})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}
