package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/creack/pty"
)

// The terminal's size in characters.
const (
	columns = 100
	rows    = 24
)

// A session is what a program has shown at a terminal.
type session struct{ text string }

// sit runs a program in a folder, at a terminal of its own, until it ends; that requests have failed is no error.
func sit(ctx context.Context, environ []string, dir, program string, args ...string) (session, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(slices.Clone(environ), "TERM=xterm")
	term, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		return session{}, fmt.Errorf("start %s at a terminal: %w", program, err)
	}
	defer func() { _ = term.Close() }()
	var shown bytes.Buffer
	_, _ = shown.ReadFrom(term) // EIO: nobody holds the other end any more
	err = cmd.Wait()
	const someFailed = 3
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == someFailed {
		err = nil
	}
	if err != nil {
		return session{}, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, &shown)
	}
	return session{shown.String()}, nil
}

var (
	escape = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	bar    = regexp.MustCompile(`^ *\d+% ?\|`)
	batchN = regexp.MustCompile(`batch_[0-9a-z]{26}`)
)

// batch returns the id of the batch that was run.
func (s session) batch() string { return batchN.FindString(s.text) }

// lines returns what is on the screen at the end, and of the bar one moment in the middle above it.
func (s session) lines() []string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(s.text, "\r\n"), "\n") {
		var drawn []string // On one line, one after another.
		for state := range strings.SplitSeq(escape.ReplaceAllString(line, "\r"), "\r") {
			if state = strings.TrimRight(state, " "); state != "" {
				drawn = append(drawn, state)
			}
		}
		if len(drawn) == 0 {
			lines = append(lines, "")
			continue
		}
		last := drawn[len(drawn)-1]
		if middle := drawn[len(drawn)/2]; bar.MatchString(last) && middle != last {
			lines = append(lines, middle)
		}
		lines = append(lines, last)
	}
	return lines
}

// drawing returns lines as an SVG picture of a terminal.
func drawing(lines []string) []byte {
	const size, line, margin = 14, 20, 16 // Pixels.
	widest := 0
	for _, l := range lines {
		widest = max(widest, utf8.RuneCountInString(l))
	}
	width, height := 2*margin+widest*size*6/10+size, 2*margin+len(lines)*line
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="musketry run at a terminal">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&out, `<rect width="100%%" height="100%%" rx="8" fill="#14171c"/>`+"\n")
	fmt.Fprintf(&out, `<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="%d" fill="#d7dce3" xml:space="preserve">`+"\n", size)
	for i, l := range lines {
		color := ""
		if strings.HasPrefix(l, "$ ") {
			color = ` fill="#8fb8ff"`
		}
		fmt.Fprintf(&out, `<text x="%d" y="%d"%s>%s</text>`+"\n", margin, margin+size+i*line, color, html.EscapeString(l))
	}
	out.WriteString("</g>\n</svg>\n")
	return out.Bytes()
}
