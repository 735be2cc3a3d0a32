// Command pictures takes the pictures of the README from the running local cloud:
//
//	pictures -bin .tools/bin -browser PROGRAM -modules NODE_MODULES -o docs/pictures
//
// It runs a batch with `musketry run` at a terminal, of which terminal.svg shows two moments, and then has a browser show that
// batch on the status page (page.png, phone.png). It reads OPENAI_BASE_URL and OPENAI_API_KEY, as `make -s env` prints them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience bounds the whole.
const patience = 10 * time.Minute

// What the batch of the pictures is of.
const (
	requests = 1_000
	refused  = 12 // Of them.
)

func main() {
	bin := flag.String("bin", ".tools/bin", "folder of the program musketry")
	browser := flag.String("browser", "", "the browser")
	modules := flag.String("modules", "", "folder of node_modules with playwright-core")
	out := flag.String("o", "docs/pictures", "folder of the pictures")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := run(ctx, *bin, *browser, *modules, *out); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1) //nolint:gocritic // the contexts end with the process
	}
}

func run(ctx context.Context, bin, browser, modules, out string) error {
	base, key := os.Getenv("OPENAI_BASE_URL"), os.Getenv("OPENAI_API_KEY")
	if base == "" || key == "" {
		return errors.New("OPENAI_BASE_URL and OPENAI_API_KEY lead nowhere: run it by make pictures")
	}
	program, err := filepath.Abs(filepath.Join(bin, "musketry"))
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "musketry-pictures")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.WriteFile(filepath.Join(work, "requests.jsonl"), lines(), 0o600); err != nil {
		return err
	}
	shown, err := sit(ctx, os.Environ(), work, program, "run", "requests.jsonl", "-o", "answers.jsonl", "--errors", "failures.jsonl")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	text := append([]string{"$ musketry run requests.jsonl -o answers.jsonl --errors failures.jsonl"}, shown.lines()...)
	if err := os.WriteFile(filepath.Join(out, "terminal.svg"), drawing(text), 0o644); err != nil {
		return err
	}
	id := shown.batch()
	if id == "" {
		return fmt.Errorf("no batch's id was shown:\n%s", strings.Join(text, "\n"))
	}
	told, err := json.Marshal(map[string]string{
		"browser": browser, "modules": modules, "page": base + "/ui/", "key": key, "batch": id, "pictures": out,
	})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "node", "tools/pictures/page.mjs", string(told))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("take pictures of the page: %w", err)
	}
	return nil
}

// lines returns the batch's file: questions to the stand-in, of which it refuses some.
func lines() []byte {
	var text strings.Builder
	for i := range requests {
		model := "standin:latency=500ms..8s"
		if i%(requests/refused) == requests/refused-1 {
			model = "standin:status=400"
		}
		fmt.Fprintf(&text, `{"custom_id":"review-%04d","method":"POST","url":"/v1/chat/completions","body":{"model":%q,`+
			`"messages":[{"role":"user","content":"Is review %d kind? Answer yes or no."}]}}`+"\n", i+1, model, i+1)
	}
	return []byte(text.String())
}
