package cli

import (
	"io"
	"net/http"
	"time"
)

// An Env is what the commands need of the world. Every field must be set.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal reports whether Stderr is one, so that progress may be drawn;
	// it is told in plain lines otherwise.
	Terminal bool
	// Width returns the columns of that terminal, 0 if they are not known. A bar
	// that is wider than its line could not be drawn over.
	Width func() int
	// Asks reports whether somebody at a terminal can answer on Stdin.
	Asks bool
	// BaseURL is where the API is, ending in /v1; empty if --base-url must say.
	BaseURL string
	// Key is the API key; empty if --key-file must name one. It is sent to the
	// API and shown nowhere.
	Key string
	// HTTP makes the calls; their time limits are set by the commands.
	HTTP *http.Client
	Now  func() time.Time
	// Random returns numbers in [0, 1). Waits are spread by it.
	Random func() float64
	// NewID returns a string that no other call of it returns, on any machine.
	NewID func() string
	// Version is the command's own.
	Version string
}
