package prompts

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

const (
	endpoint = "/v1/chat/completions"
	question = "Summarise this package for a newcomer to Go: what it is for, when to reach for it, " +
		"and the two or three names to learn first. At most 120 words.\n\n"
)

type line struct {
	CustomID string `json:"custom_id"`
	Method   string `json:"method"`
	URL      string `json:"url"`
	Body     body   `json:"body"`
}

type body struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Write writes a request about each package to w, one a line.
func Write(w io.Writer, packages []Package, model string) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	known := make(map[string]string, len(packages))
	for _, p := range packages {
		id := CustomID(p.ImportPath)
		if other, taken := known[id]; taken {
			return fmt.Errorf("%s and %s would both be called %s", other, p.ImportPath, id)
		}
		known[id] = p.ImportPath
		text, err := Document(p)
		if err != nil {
			return err
		}
		err = lines.Encode(line{CustomID: id, Method: "POST", URL: endpoint, Body: body{
			Model:    model,
			Messages: []message{{Role: "user", Content: question + text}},
		}})
		if err != nil {
			return fmt.Errorf("writing the request about %s: %w", p.ImportPath, err)
		}
	}
	return nil
}

// CustomID returns an import path as a batch's custom_id: letters, digits,
// dots, hyphens and underscores only, so that it may name a file, too.
func CustomID(importPath string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '/':
			return '.'
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-", r):
			return r
		}
		return '_'
	}, importPath)
}
