//go:build e2e && linux

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/localstack/cloud"
)

const (
	largeLines = 50_000
	largeLine  = 4_190 // Bytes of a line, newline included: 209.5 MB together, just below 200 MiB.
	largePart  = 4 << 20
	// largeResident bounds what a process of submit may ever have had in memory.
	largeResident = 256 << 20
)

// TestLargestFile sends the largest file that is taken, in parts that come in parallel, lets it be validated and
// enqueued, and demands that submit never held much of it. The cloud is its own and ends with it: to cancel 50,000
// requests would keep the other tests waiting.
func TestLargestFile(t *testing.T) {
	t.Parallel()
	_, _, env := upCloud(t, cloud.Config{})
	m := marker(t)
	c := openai.NewClient(option.WithBaseURL(env["OPENAI_BASE_URL"]), option.WithAPIKey(env["OPENAI_API_KEY"]))
	memory := watchSubmit(t, env["AWS_ENDPOINT_URL"])
	began := time.Now()
	file := uploadLarge(t, c, m)
	t.Logf("uploaded after %v", time.Since(began))
	b := create(t.Context(), t, c, file, "1h")
	b = await(t.Context(), t, c, b.ID, 2*patience, func(b *openai.Batch) bool { return b.Status != openai.BatchStatusValidating })
	t.Logf("validated after %v", time.Since(began))
	if b.Status != openai.BatchStatusInProgress || b.RequestCounts.Total != largeLines {
		t.Fatalf("batch is %s, want %d in progress", describe(b), largeLines)
	}
	awaitFirstCall(t, env["STANDIN_URL"], m) // What is called was loaded and enqueued.
	t.Logf("called after %v", time.Since(began))
	processes, peak := memory()
	t.Logf("%d processes of submit, the largest with %d MB", processes, peak>>20)
	if processes == 0 || peak > largeResident {
		t.Errorf("%d processes of submit had up to %d bytes, want at most %d", processes, peak, largeResident)
	}
	if b, err := c.Batches.Cancel(t.Context(), b.ID); err != nil || b.Status != openai.BatchStatusCancelling {
		t.Errorf("cancel: %v", err)
	}
}

// uploadLarge uploads lines that nobody answers, four parts at a time.
func uploadLarge(t *testing.T, c openai.Client, m string) string {
	t.Helper()
	const size = int64(largeLines) * largeLine
	u, err := c.Uploads.New(t.Context(), openai.UploadNewParams{
		Filename: "large.jsonl", Bytes: size, MimeType: "application/jsonl", Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, (size+largePart-1)/largePart)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(4)
	for i := range ids {
		group.Go(func() error {
			from := int64(i) * largePart
			piece := largePiece(m, from, min(from+largePart, size))
			part, err := c.Uploads.Parts.New(ctx, u.ID, openai.UploadPartNewParams{Data: bytes.NewReader(piece)})
			if err == nil {
				ids[i] = part.ID
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	u, err = c.Uploads.Complete(t.Context(), u.ID, openai.UploadCompleteParams{PartIDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	if u.File.Bytes != size {
		t.Errorf("the file has %d bytes, want %d", u.File.Bytes, size)
	}
	return u.File.ID
}

// largePiece returns the file's bytes of [from, to): its lines are of one length, so any part can be made alone.
func largePiece(m string, from, to int64) []byte {
	var b bytes.Buffer
	for i := from / largeLine; i*largeLine < to; i++ {
		head := fmt.Sprintf(`{"custom_id":"line-%d","method":"POST","url":"/v1/chat/completions","body":{"model":"standin:hang",`+
			`"user":"%s/line-%d","messages":[{"role":"user","content":"`, i, m, i)
		const tail = "\"}]}}\n"
		b.WriteString(head)
		b.WriteString(strings.Repeat("x", largeLine-len(head)-len(tail)))
		b.WriteString(tail)
	}
	skip := from % largeLine
	return b.Bytes()[skip : skip+to-from]
}

// watchSubmit looks, until the returned function is called, at the processes of this stack's submit, and returns how
// many there were and the largest resident set that one of them ever had, in bytes.
func watchSubmit(t *testing.T, endpoint string) func() (processes int, peak int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	peaks := map[string]int64{}
	var group sync.WaitGroup
	group.Go(func() {
		ticks := time.NewTicker(200 * time.Millisecond)
		defer ticks.Stop()
		for {
			lookAtSubmit(endpoint, peaks)
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
		}
	})
	return func() (int, int64) {
		cancel()
		group.Wait()
		highest := int64(0)
		for _, peak := range peaks {
			highest = max(highest, peak)
		}
		return len(peaks), highest
	}
}

func lookAtSubmit(endpoint string, peaks map[string]int64) {
	for _, folder := range functionProcesses(endpoint, "Submit") {
		if peak, err := residentPeak(folder); err == nil {
			peaks[folder] = max(peaks[folder], peak)
		}
	}
}

// residentPeak reads a process's VmHWM (https://man7.org/linux/man-pages/man5/proc_pid_status.5.html), in bytes.
func residentPeak(folder string) (int64, error) {
	status, err := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(status), "VmHWM:")
	kilobytes, _, _ := strings.Cut(rest, "kB")
	n, err := strconv.ParseInt(strings.TrimSpace(kilobytes), 10, 64)
	if err != nil || !ok {
		return 0, errors.Join(errors.New("no VmHWM"), err)
	}
	return n << 10, nil
}
