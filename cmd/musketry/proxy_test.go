package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/cli"
)

// lockedBuffer is standard error, to which several uploads may write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// proxied returns the base URL of a proxy before the API, which ends with the test.
func (d *deployment) proxied(args ...string) string {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	problems := &lockedBuffer{}
	go func() {
		code := cli.Run(ctx, cli.Env{
			Stdin: strings.NewReader(""), Stdout: in, Stderr: problems, BaseURL: d.url, Key: d.key, HTTP: &http.Client{},
			Now: time.Now, Random: func() float64 { return 0.5 }, NewID: func() string { return "id" }, Version: "test",
		}, append([]string{"proxy", "--listen", "127.0.0.1:0"}, args...))
		_ = in.Close() // never fails
		ended <- code
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	d.t.Cleanup(func() {
		cancel()
		if code := <-ended; code != cli.ExitOK {
			d.t.Errorf("exit code %d: %s", code, problems.b.String())
		}
		if strings.Contains(problems.b.String(), d.key) {
			d.t.Error("the key was shown")
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// OpenAI's client, as it is, uploads files of any size through the proxy: the real
// API refuses the large one without it.
func TestClientUploadsThroughTheProxy(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	large := lines(52_000, 900) // 50 MB and more
	client := func(base, key string) openai.Client {
		return openai.NewClient(option.WithBaseURL(base), option.WithAPIKey(key), option.WithMaxRetries(0))
	}
	send := func(c openai.Client, content []byte) (*openai.FileObject, error) {
		return c.Files.New(t.Context(), openai.FileNewParams{
			File: openai.File(bytes.NewReader(content), "requests.jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch,
			ExpiresAfter: openai.FileNewParamsExpiresAfter{Seconds: 7200},
		})
	}
	var refused *openai.Error
	if _, err := send(client(d.url, d.key), large); !errors.As(err, &refused) || refused.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("without the proxy: %v", err)
	}
	base := d.proxied()
	c := client(base, d.key)
	for name, content := range map[string][]byte{"small": lines(10, 100), "four megabytes": lines(4_000, 900), "large": large} {
		f, err := send(c, content)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(d.stored(f.ID), content) || f.Bytes != int64(len(content)) || f.Filename != "requests.jsonl" || f.Purpose != openai.FileObjectPurposeBatch {
			t.Errorf("%s: it is %s", name, f.RawJSON())
		}
		if life := f.ExpiresAt - f.CreatedAt; life < 7_100 || life > 7_300 {
			t.Errorf("%s: it lives %d s", name, life)
		}
	}
	// What the API says of a bad file, or of a key, it says through the proxy too.
	for code, c := range map[string]openai.Client{"invalid_file_format": c, "invalid_api_key": client(base, "sk-wrong")} {
		_, err := send(c, append([]byte("id,text\n"), large[:9_000_000]...))
		var refused *openai.Error
		if !errors.As(err, &refused) || refused.Code != code || refused.Message == "" || refused.Type != "invalid_request_error" ||
			refused.Response.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %v, %+v", code, err, refused)
		}
	}
	temp, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range temp {
		if info, err := f.Info(); err == nil && strings.HasPrefix(f.Name(), "musketry-") && info.Size() == int64(len(large)) {
			t.Errorf("%s was left", f.Name())
		}
	}
}

// Several clients upload at once, those with a key of their own and those without.
func TestClientsUploadAtOnceThroughTheProxy(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	base := d.proxied("--own-key")
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			content := lines(6_000+i, 900)
			c := openai.NewClient(option.WithBaseURL(base), option.WithAPIKey("none"), option.WithMaxRetries(0))
			f, err := c.Files.New(t.Context(), openai.FileNewParams{
				File: openai.File(bytes.NewReader(content), "requests.jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch,
			})
			if err != nil {
				t.Error(err)
				return
			}
			if !bytes.Equal(d.stored(f.ID), content) {
				t.Errorf("%d: another file arrived", i)
			}
		})
	}
	all.Wait()
}
