package boot

import (
	"bytes"
	"io"
	"log"
	"log/slog"
)

// NewLogger returns a logger that writes one JSON object a line to w, from
// level up.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// CatchLog leads what the standard library and other libraries write with
// package log into logger, without their words: net/http quotes what a provider
// sends unasked, and Lambda's library what a panic was given. What remains is
// where it was said and how long it was.
func CatchLog(logger *slog.Logger) {
	log.SetFlags(log.Lshortfile)
	log.SetPrefix("")
	log.SetOutput(catcher{logger})
}

// maxSource is the longest name of a place in a file, in bytes.
const maxSource = 64

// A catcher takes lines that begin with "file.go:1: ".
type catcher struct{ log *slog.Logger }

// Write logs a line without its words. It never fails.
func (c catcher) Write(line []byte) (int, error) {
	source, words, ok := bytes.Cut(line, []byte(": "))
	if !ok || len(source) > maxSource {
		source, words = nil, line
	}
	c.log.Warn("a library had something to say; its words are not kept, since they may quote an answer",
		slog.String("source", string(source)), slog.Int("bytes", len(words)))
	return len(line), nil
}
