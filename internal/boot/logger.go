package boot

import (
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes one JSON object a line to w, from
// level up.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}
