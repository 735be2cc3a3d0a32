package main_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/cli"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// A deployment is the real API over stores in memory, on loopback. Nobody
// executes its batches; the tests move them on by hand.
type deployment struct {
	t     *testing.T
	store *memstore.Store
	files *memstore.Files
	url   string
	key   string

	handler http.Handler
	dir     string // of its own
}

// uncounted counts nothing.
type uncounted struct{}

func (uncounted) Count(string, int, ...string) {}

func deploy(t *testing.T) *deployment {
	t.Helper()
	store, files := memstore.NewStore(), memstore.NewFiles()
	secret, key, err := tenant.NewKey("alice", "test", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	acceptor := submit.NewAcceptor(submit.AcceptDeps{
		Store: store, Flow: memstore.NewFlow(), Receipts: store, Clock: time.Now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler),
	}, submit.AcceptConfig{Policy: retry.Default()})
	handler := api.New(api.Deps{
		Keys: store, Files: store, Batches: store, Objects: files, Contents: files, Parts: files, Uploads: store,
		Acceptor: acceptor, Logger: slog.New(slog.DiscardHandler), Metrics: uncounted{}, Clock: time.Now, Random: rand.Reader,
	}, api.Config{})
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return &deployment{t: t, store: store, files: files, url: srv.URL + "/v1", key: secret, handler: handler, dir: t.TempDir()}
}

// musketry runs the command and returns its standard output.
func (d *deployment) musketry(code int, stdin []byte, args ...string) string {
	d.t.Helper()
	var out, problems bytes.Buffer
	got := cli.Run(d.t.Context(), cli.Env{
		Stdin: bytes.NewReader(stdin), Stdout: &out, Stderr: &problems, BaseURL: d.url, Key: d.key,
		HTTP: &http.Client{}, Now: time.Now, Random: mathrand.Float64, NewID: rand.Text,
		Version: "test",
	}, args)
	if got != code {
		d.t.Fatalf("musketry %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, &out, &problems)
	}
	return out.String()
}

func lines(n, promptBytes int) []byte {
	var text bytes.Buffer
	for i := range n {
		fmt.Fprintf(&text, `{"custom_id":"r%d","method":"POST","url":"/v1/chat/completions",`+
			`"body":{"model":"m","messages":[{"role":"user","content":"%s"}]}}`+"\n", i, strings.Repeat("ü", promptBytes/2))
	}
	return text.Bytes()
}

func (d *deployment) batch(id string) batch.Batch {
	d.t.Helper()
	b, err := d.store.Batch(d.t.Context(), batch.Ref{Tenant: "alice", ID: id})
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func (d *deployment) stored(fileID string) []byte {
	d.t.Helper()
	key := batch.FileKey("alice", fileID)
	size, err := d.files.Size(d.t.Context(), key)
	if err != nil {
		d.t.Fatal(err)
	}
	body, err := d.files.Read(d.t.Context(), key, 0, size)
	if err != nil {
		d.t.Fatal(err)
	}
	return body
}

// The real API takes what the command sends: small files whole, large ones in parts.
func TestSubmitToTheAPI(t *testing.T) {
	t.Parallel()
	for name, text := range map[string][]byte{"small": lines(3, 10), "large": lines(9_000, 1_000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t)
			id := strings.TrimSpace(d.musketry(cli.ExitOK, text, "submit", "-", "--window", "90m", "--metadata", "a=b"))
			b := d.batch(id)
			if b.Endpoint != "/v1/chat/completions" || b.Window != "90m" || b.Metadata["a"] != "b" {
				t.Errorf("it is %+v", b)
			}
			if !bytes.Equal(d.stored(b.InputFileID), text) {
				t.Error("the file did not arrive as it was")
			}
			if out := d.musketry(cli.ExitOK, nil, "list"); !strings.Contains(out, id) {
				t.Errorf("it is not listed: %s", out)
			}
			d.musketry(cli.ExitOK, nil, "cancel", id)
			if b := d.batch(id); !b.Canceling() {
				t.Errorf("it is %s", b.Status)
			}
		})
	}
}

// The real API gives what the command asks for: files of several answers' size, and counts.
func TestResultsFromTheAPI(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	id := strings.TrimSpace(d.musketry(cli.ExitOK, lines(4, 10), "submit", "-"))
	answers, failures := lines(6_000, 2_000), lines(1, 10)
	d.end(id, batch.Counts{Total: 4, Completed: 3, Failed: 1}, answers, failures)
	dir := t.TempDir()
	got, why := filepath.Join(dir, "answers"), filepath.Join(dir, "failures")
	d.musketry(cli.ExitFailures, nil, "results", id, "-o", got, "--errors", why)
	for path, want := range map[string][]byte{got: answers, why: failures} {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(body, want) {
			t.Errorf("%s has %d bytes, want %d, or others", path, len(body), len(want))
		}
	}
	if out := d.musketry(cli.ExitFailures, nil, "watch", id); !strings.Contains(out, "4 requests, 3 completed, 1 failed") {
		t.Error(out)
	}
	var shown struct{ Status string }
	if err := json.Unmarshal([]byte(d.musketry(cli.ExitOK, nil, "status", id, "--json")), &shown); err != nil || shown.Status != "completed" {
		t.Errorf("%+v, %v", shown, err)
	}
}

// end brings a batch to its end with these files.
func (d *deployment) end(id string, counts batch.Counts, output, failures []byte) {
	d.t.Helper()
	ctx, now := d.t.Context(), time.Now()
	outputID, errorID := d.file(ctx, id, "output", output), d.file(ctx, id, "error", failures)
	_, err := d.store.UpdateBatch(ctx, batch.Ref{Tenant: "alice", ID: id}, func(b *batch.Batch) error {
		if err := b.Validated(counts.Total); err != nil {
			return err
		}
		if err := b.Loaded(counts.Total, 1, now); err != nil {
			return err
		}
		if err := b.Seal(counts, now); err != nil {
			return err
		}
		if err := b.End(now); err != nil {
			return err
		}
		b.OutputFileID, b.ErrorFileID = outputID, errorID
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployment) file(ctx context.Context, batchID, kind string, body []byte) string {
	d.t.Helper()
	f := batch.File{
		Tenant: "alice", ID: strings.Replace(batchID, "batch_0", map[string]string{"output": "file-2", "error": "file-3"}[kind], 1), Name: kind + ".jsonl",
		Purpose: batch.PurposeBatchOutput, Bytes: int64(len(body)), CreatedAt: time.Now(),
	}
	if err := d.files.Put(ctx, f.ObjectKey(), body); err != nil {
		d.t.Fatal(err)
	}
	if err := d.store.CreateFile(ctx, f); err != nil {
		d.t.Fatal(err)
	}
	return f.ID
}
