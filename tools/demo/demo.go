package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	answersShown = 3
	answerRunes  = 240 // Characters of an answer that are shown.
	endPatience  = 10 * time.Second
)

// errUnanswered reports a batch with lines that got no answer.
var errUnanswered = errors.New("not every line was answered")

type demo struct {
	bin, dir string
	model    string
	engine   string // The engine's address, which may count calls.
	api      string // The API's address, beside which the status page is.
	out      io.Writer
	progress io.Writer
	now      func() time.Time
}

// A batch is the part of OpenAI's batch object that is shown.
type batch struct {
	ID            string `json:"id"`
	Status        string `json:"status"`
	RequestCounts struct {
		Total     int `json:"total"`
		Completed int `json:"completed"`
		Failed    int `json:"failed"`
	} `json:"request_counts"`
}

func (d demo) run(ctx context.Context) error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	input, output, failures := filepath.Join(d.dir, "input.jsonl"), filepath.Join(d.dir, "answers.jsonl"), filepath.Join(d.dir, "failures.jsonl")
	if _, err := d.program(ctx, "godoc", "-internal", "-model", d.model, "-o", input); err != nil {
		return err
	}
	before := countCalls(ctx, d.engine)
	begun := d.now()
	fmt.Fprintf(d.progress, "$ musketry run %s -o %s --errors %s\n", input, output, failures)
	told, err := d.program(ctx, "musketry", "run", input, "-o", output, "--errors", failures)
	if err != nil {
		return err
	}
	took := d.now().Sub(begun)
	after := countCalls(ctx, d.engine)
	id := strings.TrimSpace(told)
	ended, err := d.status(ctx, id)
	if err != nil {
		return err
	}
	if err := d.show(ended, output, took); err != nil {
		return err
	}
	after.without(before).show(d.out, ended.RequestCounts.Total)
	if c := ended.RequestCounts; c.Completed != c.Total || c.Total == 0 {
		return fmt.Errorf("%w: %d of %d", errUnanswered, c.Completed, c.Total)
	}
	d.showNext(id)
	return nil
}

// showNext tells what there is to look at, since the cloud stays up.
func (d demo) showNext(id string) {
	fmt.Fprintf(d.out, `
The cloud stays up. Look around:

  eval "$(make -s env)"
  %[1]s/musketry requests %[2]s --limit 5
  %[1]s/musketry requests %[2]s %[3]s_1
  %[1]s/musketry usage
  %[1]s/musketry --help

or in a browser, with the OPENAI_API_KEY that "make -s env" prints:

  %[4]s/ui/

"make down" ends it.
`, d.bin, id, "batch_req_"+strings.TrimPrefix(id, "batch_"), d.api)
}

// status asks the CLI for the batch as the API tells it.
func (d demo) status(ctx context.Context, id string) (batch, error) {
	text, err := d.program(ctx, "musketry", "status", id, "--json")
	if err != nil {
		return batch{}, err
	}
	var b batch
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return batch{}, fmt.Errorf("read the batch: %w", err)
	}
	return b, nil
}

// program runs one of the checkout's programs and gives its standard output; its progress is shown.
func (d demo) program(ctx context.Context, name string, args ...string) (string, error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, name), args...)
	cmd.Stdout, cmd.Stderr = &output, d.progress
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endPatience
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return output.String(), nil
}

// show tells counts, three answers and the time.
func (d demo) show(b batch, path string, took time.Duration) error {
	c := b.RequestCounts
	fmt.Fprintf(d.out, "\n%s is %s: %d requests, %d completed, %d failed\n", b.ID, b.Status, c.Total, c.Completed, c.Failed)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewReader(file)
	for range answersShown {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 {
			break
		}
		if err := d.showAnswer(line); err != nil {
			return err
		}
		if err != nil {
			break
		}
	}
	fmt.Fprintf(d.out, "\nall answers: %s\ntime: %s\n", path, took.Round(100*time.Millisecond))
	return nil
}

func (d demo) showAnswer(line []byte) error {
	var answer struct {
		CustomID string `json:"custom_id"`
		Response struct {
			Body struct {
				Choices []struct {
					Message struct {
						Content string `json:"content"`
					} `json:"message"`
				} `json:"choices"`
			} `json:"body"`
		} `json:"response"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	text := "(no text)"
	if choices := answer.Response.Body.Choices; len(choices) > 0 {
		text = strings.Join(strings.Fields(choices[0].Message.Content), " ")
	}
	if runes := []rune(text); len(runes) > answerRunes {
		text = string(runes[:answerRunes]) + "…"
	}
	fmt.Fprintf(d.out, "\n%s\n  %s\n", answer.CustomID, text)
	return nil
}
