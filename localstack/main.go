// Command localstack starts a local cloud with Musketry on it, tells how to reach it, and ends it:
//
//	go run ./localstack up|down|env|status
//
// It reads ENGINE (ministack, localstack, external), AWS_ENDPOINT_URL (the external engine's address), UPSTREAM_BASE_URL and
// UPSTREAM_API_KEY (a real provider instead of the stand-in), and CDK_CONTEXT (more parameters of the CDK app, as
// "name=value name=value").
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/musketry/musketry/localstack/cloud"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "localstack:", err)
		os.Exit(1) //nolint:gocritic // the context ends with the process
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("localstack", flag.ContinueOnError)
	root := flags.String("root", ".", "the checkout")
	state := flags.String("state", ".cloud", "folder of the cloud's state")
	lambdas := flags.String("lambdas", "", "folder of Lambdas that are built already (default: build them)")
	if len(args) == 0 {
		return errors.New("usage: localstack up|down|env|status [flags]")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	paths := []*string{root, state, lambdas}
	for _, path := range paths {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	c, err := cloud.New(cloud.Config{
		Root: *root, State: *state, Lambdas: *lambdas,
		Engine: os.Getenv("ENGINE"), Endpoint: os.Getenv("AWS_ENDPOINT_URL"),
		UpstreamBaseURL: os.Getenv("UPSTREAM_BASE_URL"), UpstreamAPIKey: os.Getenv("UPSTREAM_API_KEY"),
		Contexts: strings.Fields(os.Getenv("CDK_CONTEXT")), Environ: os.Environ(), Out: os.Stdout, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		return err
	}
	return command(ctx, c, args[0])
}

func command(ctx context.Context, c *cloud.Cloud, name string) error {
	switch name {
	case "up":
		return c.Up(ctx)
	case "down":
		return c.Down(ctx)
	case "status":
		return c.Status(ctx)
	case "env":
		variables, err := c.Environment(ctx)
		for _, v := range variables {
			fmt.Printf("export %s=%s\n", v.Name, quote(v.Value))
		}
		return err
	default:
		return fmt.Errorf("unknown command %q: there are up, down, env and status", name)
	}
}

// quote makes one word of a value for a shell.
func quote(value string) string { return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'" }
