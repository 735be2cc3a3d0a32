// Command account deploys to, and removes from, the AWS account that the caller's own credentials lead to, and makes a
// tenant's first API key there:
//
//	account check|deploy|destroy|key TENANT
//
// It reads UPSTREAM_BASE_URL and UPSTREAM_API_KEY (the provider; each may be "none"), CDK_CONTEXT (more parameters of the CDK
// app, as "name=value name=value"), and YES (1: nothing is asked, as in CI). It never touches a local cloud.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/musketry/musketry/tools/checkout"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "account:", err)
		os.Exit(1) //nolint:gocritic // the context ends with the process
	}
}

func run(ctx context.Context, args []string) error {
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	if os.Getenv("AWS_ENDPOINT_URL") != "" {
		return errors.New("AWS_ENDPOINT_URL leads to a local cloud: unset it to reach AWS")
	}
	yes := os.Getenv("YES")
	if yes != "" && yes != "1" {
		return fmt.Errorf("YES=%.20q: it is 1, so that nothing is asked, or empty", yes)
	}
	a := account{
		checkout: checkout.Checkout{Root: root, Logs: filepath.Join(root, "build"), Environ: os.Environ()},
		upstream: os.Getenv("UPSTREAM_BASE_URL"), key: os.Getenv("UPSTREAM_API_KEY"),
		contexts: strings.Fields(os.Getenv("CDK_CONTEXT")), yes: yes == "1",
		in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now, random: rand.Reader,
	}
	switch {
	case len(args) == 1 && args[0] == "check":
		return a.check(ctx)
	case len(args) == 1 && args[0] == "deploy":
		return a.deploy(ctx)
	case len(args) == 1 && args[0] == "destroy":
		return a.destroy(ctx)
	case len(args) == 2 && args[0] == "key":
		return a.newKey(ctx, args[1])
	default:
		return errors.New("usage: account check|deploy|destroy|key TENANT")
	}
}
