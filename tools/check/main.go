// Command check runs every check and test of the checkout against a cloud of its own and ends with one line, the sum over
// all of them: "N passed, N failed, N skipped". It exits with 1 if anything failed. With -quick it runs what needs no cloud
// instead, with -localstack what runs on LocalStack, with -clients the programs of all clients that others wrote, with -soak the end-to-end tests of faults, again and again until one
// fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/musketry/musketry/tools/check/suite"
)

func main() {
	cloud := flag.String("cloud", ".tools/bin/localstack", "the program that starts the local cloud")
	lint := flag.String("lint", ".tools/bin/golangci-lint", "golangci-lint")
	cfnLint := flag.String("cfn-lint", ".tools/cfn-lint/bin/cfn-lint", "cfn-lint")
	vuln := flag.String("vuln", ".tools/bin/govulncheck", "govulncheck")
	state := flag.String("state", "build/check", "folder of the test cloud's state")
	quick := flag.Bool("quick", false, "run the linters and the tests that need no cloud, and nothing else")
	localStack := flag.Bool("localstack", false, "run what runs on LocalStack, whole, and nothing else")
	clients := flag.Bool("clients", false, "run the programs of all clients, and nothing else")
	soak := 0
	flag.Func("soak", "repeat the end-to-end tests of faults so often, and run nothing else", func(text string) (err error) {
		if soak, err = strconv.Atoi(text); err == nil && soak < 1 {
			err = errors.New("at least one run")
		}
		return err
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	folder, err := filepath.Abs(*state)
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1) //nolint:gocritic // the context ends with the process
	}
	run := suite.Run
	switch {
	case *quick:
		run = suite.RunQuick
	case *localStack:
		run = suite.RunLocalStack
	case *clients:
		run = suite.RunClients
	case soak > 0:
		run = func(ctx context.Context, cfg suite.Config) suite.Sum { return suite.RunSoak(ctx, cfg, soak) }
	}
	sum := run(ctx, suite.Config{
		Cloud: *cloud, Lint: *lint, CFNLint: *cfnLint, Vuln: *vuln, HTTP: &http.Client{}, State: folder, Environ: os.Environ(), Out: os.Stdout,
	})
	fmt.Println(sum)
	if sum.Failed > 0 || sum.Passed == 0 {
		os.Exit(1)
	}
}
