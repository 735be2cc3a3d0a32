// Command standin serves a stand-in LLM provider on a local port. Package provider tells what it answers.
//
// With -tls-listen it serves HTTPS besides, by HTTP/2 or HTTP/1.1, on a port of its own: the same provider with the same counts. Its
// certificate is signed by an authority that is made at the start and written to -ca-file, which whoever calls it has to
// trust (the deployment's upstreamCa, MUSKETRY_UPSTREAM_CA). -limits names a file of models' limits, which can be replaced while it
// runs. With -sigv4 every call must be signed by AWS's Signature Version 4.
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
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on; port 0 picks a free one")
	flag.StringVar(&o.ready, "ready-file", "", "file that the base URL is written to once it listens, instead of standard output")
	flag.StringVar(&o.tlsListen, "tls-listen", "", "address to serve HTTPS on besides; empty: none")
	flag.StringVar(&o.tlsReady, "tls-ready-file", "", "file that the base URL of HTTPS is written to, instead of standard output")
	flag.StringVar(&o.ca, "ca-file", "", "file that the certificate of HTTPS's authority is written to, as PEM")
	flag.StringVar(&o.limits, "limits", "", "file of models' limits: JSON as PUT /standin/limits takes it")
	cfg := provider.Config{Now: time.Now}
	flag.Func("sigv4", "KEYID:SECRET:SERVICE:REGION whose AWS signature every call must have", func(text string) (err error) {
		cfg.SigV4, err = provider.ParseSigner(text)
		return err
	})
	flag.IntVar(&cfg.MaxKeys, "max-keys", 1_000_000, "how many requests are remembered")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, o, cfg)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}
