//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mostListed bounds how much of a list a test reads to find what it looks for.
const mostListed = 2000

// A goSDK is what a user does with a Go SDK. Its majors share no types.
type goSDK interface { //nolint:interfacebloat // all that a user does is the point
	Upload(ctx context.Context, name string, content []byte) (file string, err error)
	UploadParts(ctx context.Context, name string, content [][]byte) (file string, err error)
	Create(ctx context.Context, file, window string) (goBatch, error)
	Get(ctx context.Context, id string) (goBatch, error)
	Cancel(ctx context.Context, id string) (goBatch, error)
	Content(ctx context.Context, file string) ([]byte, error)
	// Files lists ids in pages of one, oldest first, until it meets last.
	Files(ctx context.Context, after, last string) ([]string, error)
	// Batches lists ids in pages of one, newest first, until it meets last.
	Batches(ctx context.Context, after, last string) ([]string, error)
	Delete(ctx context.Context, file string) error
	// Refusal returns what the API's error says, or 0 if err is no such.
	Refusal(err error) (status int, param string)
}

// A goBatch is what the test looks at.
type goBatch struct {
	ID, Status, Output, Errors, Client string
	Total, Completed, Failed           int64
}

// TestGoSDK runs the unchanged openai-go, the newest and the last of major 1, through everything a user does.
func TestGoSDK(t *testing.T) {
	t.Parallel()
	for name, sdk := range map[string]func(baseURL, key string) goSDK{"v3": newGoSDKV3, "v1": newGoSDKV1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, key := variable(t, "OPENAI_BASE_URL"), variable(t, "OPENAI_API_KEY")
			s, m := sdk(base, key), marker(t)
			content := []byte(jsonl(t, chat("good", "standin", m), chat("bad", "standin:status=400", m)))
			file := goUploads(t, s, content)
			ended := goRuns(t, s, file)
			second := goCancels(t, s, []byte(jsonl(t, chat("hangs", "standin:hang", m))))
			listed, err := s.Batches(t.Context(), second, ended.ID)
			if err != nil || !slices.Contains(listed, ended.ID) || repeated(listed) {
				t.Errorf("batches after %s: %v, %v", second, listed, err)
			}
			goRefusals(t, s, sdk(base, "sk-wrong"), file, ended.ID)
			for _, f := range []string{file, ended.Output, ended.Errors} {
				if err := s.Delete(t.Context(), f); err != nil {
					t.Errorf("delete: %v", err)
				}
				_, err := s.Content(t.Context(), f)
				refusedWith(t, s, err, 404, "id")
			}
		})
	}
}

// goUploads uploads content in one piece, and a larger file in parts, and finds both in the list.
func goUploads(t *testing.T, s goSDK, content []byte) string {
	t.Helper()
	file, err := s.Upload(t.Context(), "requests.jsonl", content)
	if err != nil {
		t.Fatal(err)
	}
	const part = 4 << 20
	long := bytes.Repeat(content, part/len(content)+1) // Its custom ids repeat: no batch is made of it.
	parted, err := s.UploadParts(t.Context(), "long.jsonl", slices.Collect(slices.Chunk(long, part)))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][]byte{file: content, parted: long} {
		if got, err := s.Content(t.Context(), id); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back of %d: %v", len(got), len(want), err)
		}
	}
	if ids, err := s.Files(t.Context(), file, parted); err != nil || !slices.Contains(ids, parted) || repeated(ids) {
		t.Errorf("files after %s: %v, %v", file, ids, err)
	}
	if err := s.Delete(t.Context(), parted); err != nil {
		t.Errorf("delete: %v", err)
	}
	return file
}

func goRuns(t *testing.T, s goSDK, file string) goBatch {
	t.Helper()
	b, err := s.Create(t.Context(), file, "24h")
	if err != nil || b.Status != "validating" {
		t.Fatalf("create: %+v, %v", b, err)
	}
	b = goAwait(t, s, b.ID, patience)
	want := goBatch{
		ID: b.ID, Status: "completed", Output: b.Output, Errors: b.Errors, Client: "go", Total: 2, Completed: 1, Failed: 1,
	}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Fatalf("batch (-want +got):\n%s", diff)
	}
	for id, custom := range map[string]string{b.Output: `"custom_id":"good"`, b.Errors: `"custom_id":"bad"`} {
		got, err := s.Content(t.Context(), id)
		if err != nil || strings.Count(string(got), "\n") != 1 || !strings.Contains(string(got), custom) {
			t.Errorf("content of %s: %q, %v, want one line with %s", id, got, err, custom)
		}
	}
	return b
}

// goCancels cancels a batch of content, whose request hangs: it cannot end before that.
func goCancels(t *testing.T, s goSDK, content []byte) string {
	t.Helper()
	file, err := s.Upload(t.Context(), "hanging.jsonl", content)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Create(t.Context(), file, "1h")
	if err == nil {
		b, err = s.Cancel(t.Context(), b.ID)
	}
	if err != nil || b.Status != "cancelling" && b.Status != "cancelled" {
		t.Fatalf("cancel: %+v, %v", b, err)
	}
	if b = goAwait(t, s, b.ID, time.Minute); b.Status != "cancelled" {
		t.Errorf("batch ended %+v, want cancelled", b)
	}
	if err := s.Delete(t.Context(), file); err != nil {
		t.Errorf("delete: %v", err)
	}
	return b.ID
}

func goRefusals(t *testing.T, s, stranger goSDK, file, ended string) {
	t.Helper()
	_, err := s.Get(t.Context(), "batch_00000000000000000000000000")
	refusedWith(t, s, err, 404, "")
	_, err = s.Cancel(t.Context(), ended)
	refusedWith(t, s, err, 409, "")
	_, err = s.Create(t.Context(), file, "9s")
	refusedWith(t, s, err, 400, "completion_window")
	_, err = s.Upload(t.Context(), "table.csv", []byte("a,b\n"))
	refusedWith(t, s, err, 400, "file")
	_, err = stranger.Get(t.Context(), ended)
	refusedWith(t, s, err, 401, "")
}

func refusedWith(t *testing.T, s goSDK, err error, status int, param string) {
	t.Helper()
	gotStatus, gotParam := s.Refusal(err)
	if gotStatus != status || gotParam != param {
		t.Errorf("refused with %d about %q, want %d about %q: %v", gotStatus, gotParam, status, param, err)
	}
}

func goAwait(t *testing.T, s goSDK, id string, within time.Duration) goBatch {
	t.Helper()
	last := fmt.Sprintf("never seen within %v", within)
	for until := time.Now().Add(within); time.Now().Before(until); pause(t, 500*time.Millisecond) {
		b, err := s.Get(t.Context(), id)
		if err == nil && slices.Contains([]string{"completed", "failed", "expired", "cancelled"}, b.Status) {
			return b
		}
		last = fmt.Sprintf("%+v, %v", b, err)
	}
	t.Fatalf("batch %s: %s", id, last)
	return goBatch{}
}

func total(pieces [][]byte) int64 {
	n := int64(0)
	for _, piece := range pieces {
		n += int64(len(piece))
	}
	return n
}

func repeated(ids []string) bool {
	sorted := slices.Sorted(slices.Values(ids))
	return len(slices.Compact(sorted)) != len(ids)
}
