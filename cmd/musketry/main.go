// Command musketry runs large batches of LLM requests through a Musketry
// deployment, or any other server that speaks OpenAI's Batches API.
package main

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first Ctrl-C asks, the second one kills.
	context.AfterFunc(ctx, stop)
	deployment := &admin{table: os.Getenv(boot.EnvAdminTable), main: os.Getenv(boot.EnvTable), open: openStore(time.Now), who: callerARN, now: time.Now, random: rand.Reader}
	env := cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal: term.IsTerminal(int(os.Stderr.Fd())),
		Width:    width,
		Asks:     term.IsTerminal(int(os.Stdin.Fd())),
		BaseURL:  os.Getenv("OPENAI_BASE_URL"),
		Key:      os.Getenv("OPENAI_API_KEY"),
		HTTP:     &http.Client{},
		Now:      time.Now,
		Random:   mathrand.Float64,
		NewID:    rand.Text,
		Version:  version(),
	}
	check := &doctorCommand{stack: os.Getenv(boot.EnvStack), env: env, open: openDeployed(time.Now)}
	all := &tenants{stack: os.Getenv(boot.EnvStack), open: openTenants(openDeployed(time.Now)), now: time.Now}
	os.Exit(cli.Run(
		ctx, env, os.Args[1:], deployment.keysCommand(), deployment.modelsCommand(), all.command(), deployment.logCommand(), check.command(),
	))
}

// width returns the columns of the terminal that standard error is, 0 if it is none.
func width() int {
	columns, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
