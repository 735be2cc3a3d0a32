package boot_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

// A told keeps what is logged, and says when a line comes.
type told struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan struct{}
}

func (w *told) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.lines <- struct{}{} }()
	return w.text.Write(p)
}

func (w *told) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// start begins as a function does, and gives the log back at the test's end.
func start(t *testing.T) *told {
	t.Helper()
	out, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	t.Cleanup(func() {
		log.SetOutput(out)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	})
	t.Setenv("AWS_REGION", "eu-central-1")
	w := &told{lines: make(chan struct{}, 100)}
	if _, err := boot.Start(t.Context(), w, time.Now); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestNoWordsOfLibraries has a provider write on a kept connection what nobody
// asked for, which net/http's transport quotes in its log.
func TestNoWordsOfLibraries(t *testing.T) { //nolint:paralleltest // package log is one for the process
	for name, unasked := range map[string]string{ //nolint:paralleltest // as above
		"words":     "a secret answer",
		"an answer": "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\na secret answer",
		"a flood":   strings.Repeat("a secret answer ", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			hands := make(chan net.Conn, 1)
			s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				conn, both, err := http.NewResponseController(rw).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = both.WriteString("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
				_ = both.Flush()
				hands <- conn
			}))
			defer s.Close()
			client := upstream.New(upstream.Config{})
			defer client.CloseIdleConnections()
			if _, err := client.Call(t.Context(), upstream.Request{
				Route: route.Route{BaseURL: s.URL, AllowPrivate: true}, Method: http.MethodPost, URL: "/v1/x",
			}); err != nil {
				t.Fatal(err)
			}
			conn := <-hands
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn, unasked); err != nil {
				t.Fatal(err)
			}
			select {
			case <-w.lines:
			case <-time.After(10 * time.Second):
				t.Fatal("what net/http says is not in the function's log")
			}
			checkTold(t, w.String())
		})
	}
}

// checkTold demands one line that says where it comes from, and no word of it.
func checkTold(t *testing.T, text string) {
	t.Helper()
	var line struct {
		Level, Msg, Source string
		Bytes              int
	}
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if line.Level != slog.LevelWarn.String() || !regexp.MustCompile(`^\w+\.go:[0-9]+$`).MatchString(line.Source) || line.Bytes == 0 {
		t.Errorf("got %+v", line)
	}
	if strings.Contains(text, "secret") || len(text) > 400 {
		t.Errorf("the log has what was sent: %.1000s", text)
	}
}

func TestNoWordsOfPanics(t *testing.T) { //nolint:paralleltest // as above
	w := start(t)
	log.Printf("panic: a secret answer: more\nsecret")
	checkTold(t, w.String())
	w.text.Reset()
	log.Print("secret") // some print without a format
	checkTold(t, w.String())
}
