package main_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/cli"
)

// What doctor's smoke test uses of the API, on the real one: files small and large come back with their length and digest, a
// batch is made and cancelled, and a model that there is not is refused by its very name.
func TestRemoteOnTheAPI(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	remote, err := cli.NewRemote(cli.Env{
		BaseURL: d.url, Key: d.key, HTTP: &http.Client{}, Now: time.Now, Random: mathrand.Float64, NewID: rand.Text, Version: "test",
	}, d.url+"/", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, content := range [][]byte{lines(3, 10), lines(9_000, 1_000)} {
		id, err := remote.Send(ctx, "doctor.bin", "user_data", content)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) < 4<<20 { // more is streamed, which only a gateway does
			openWhole(t, remote, id, content)
		}
		var fetched bytes.Buffer
		if err := remote.Fetch(ctx, id, &fetched); err != nil || !bytes.Equal(fetched.Bytes(), content) {
			t.Errorf("%d bytes of %d: %v", fetched.Len(), len(content), err)
		}
		if err := remote.Delete(ctx, id); err != nil {
			t.Error(err)
		}
		if _, err := remote.Open(ctx, id); err == nil {
			t.Error("a file that was deleted is there")
		}
	}
	id, err := remote.Send(ctx, "doctor.jsonl", "batch", lines(3, 10))
	if err != nil {
		t.Fatal(err)
	}
	made, err := remote.Create(ctx, id, "/v1/chat/completions", "10s")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := remote.Batch(ctx, made); err != nil || b.ID != made || b.Status != batch.StatusValidating {
		t.Errorf("%+v, %v", b, err)
	}
	if err := remote.Cancel(ctx, made); err != nil || d.batch(made).Status != batch.StatusCanceling {
		t.Errorf("%s, %v", d.batch(made).Status, err)
	}
	for _, name := range []string{"no such/model", "no%2Fsuch", "ü;+"} {
		if said, err := remote.Unknown(ctx, name); err != nil || said != "The model '"+name+"' does not exist." {
			t.Errorf("%q: %q, %v", name, said, err)
		}
	}
	if names, err := remote.Names(ctx); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

// openWhole demands that a file arrives in one answer, with its length and digest.
func openWhole(t *testing.T, remote *cli.Remote, id string, content []byte) {
	t.Helper()
	stream, err := remote.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }() // it was read
	whole, err := io.ReadAll(stream)
	sum := sha256.Sum256(content)
	if err != nil || !bytes.Equal(whole, content) || stream.Length != int64(len(content)) || !bytes.Equal(stream.SHA256, sum[:]) {
		t.Errorf("%d bytes of %d, length %d, digest %x: %v", len(whole), len(content), stream.Length, stream.SHA256, err)
	}
}
