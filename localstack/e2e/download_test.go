//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	openai1 "github.com/openai/openai-go"
	option1 "github.com/openai/openai-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/boot"
)

const (
	largeFile = 60_000_000 // bytes: more than the 50 MB, and ten times what a Lambda answers at once
	partBytes = 4_000_000
)

// uploadParts sends content by the Uploads API and returns the file's id.
func uploadParts(ctx context.Context, t *testing.T, c openai.Client, purpose openai.FilePurpose, content []byte) string {
	t.Helper()
	params := openai.UploadNewParams{
		Bytes: int64(len(content)), Filename: "large.bin", MimeType: "application/octet-stream", Purpose: purpose,
	}
	if purpose == openai.FilePurposeBatch {
		params.Filename, params.MimeType = "large.jsonl", "application/jsonl"
	}
	u, err := c.Uploads.New(ctx, params)
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	var parts []string
	for from := 0; from < len(content); from += partBytes {
		piece := content[from:min(from+partBytes, len(content))]
		p, err := c.Uploads.Parts.New(ctx, u.ID, openai.UploadPartNewParams{Data: bytes.NewReader(piece)})
		if err != nil {
			t.Fatalf("part at %d: %v", from, err)
		}
		parts = append(parts, p.ID)
	}
	done, err := c.Uploads.Complete(ctx, u.ID, openai.UploadCompleteParams{PartIDs: parts})
	if err != nil {
		t.Fatalf("complete: %v", err)
	}
	return done.File.ID
}

// noise returns n bytes that are no text and never repeat.
func noise(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(out) // never fails
	return out
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

// TestDownload demands that a file of more than 50 MB arrives whole with every client, and in parts as asked.
func TestDownload(t *testing.T) {
	t.Parallel()
	c, content := newClient(t, "OPENAI_API_KEY"), noise(largeFile)
	id := uploadParts(t.Context(), t, c, openai.FilePurposeUserData, content)
	everyClient(t, c, id, sum(content), largeFile)
	t.Run("ranges", func(t *testing.T) {
		t.Parallel()
		ranges(t, c, id, content)
	})
}

// everyClient demands that a file of size bytes, whose sum is want, arrives whole with every client.
func everyClient(t *testing.T, c openai.Client, id, want string, size int64) {
	t.Helper()
	t.Run("Go 3", func(t *testing.T) {
		t.Parallel()
		res, err := c.Files.Content(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil || sum(got) != want {
			t.Errorf("%d bytes, want %d of the same sum: %v", len(got), size, err)
		}
		h := res.Header
		if h.Get("X-Request-Id") == "" || h.Get("Accept-Ranges") != "bytes" {
			t.Errorf("header %v", h)
		}
		asOnAWS(t, res, size)
		held(t, h, size, want)
	})
	t.Run("Go 1", func(t *testing.T) {
		t.Parallel()
		c := openai1.NewClient(option1.WithBaseURL(variable(t, "OPENAI_BASE_URL")),
			option1.WithAPIKey(variable(t, "OPENAI_API_KEY")))
		res, err := c.Files.Content(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); err != nil || sum(got) != want {
			t.Errorf("%d bytes, want %d of the same sum: %v", len(got), size, err)
		}
	})
	for _, python := range []string{"MUSKETRY_E2E_PYTHON", "MUSKETRY_E2E_PYTHON_1"} {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			runSDK(t, variable(t, python), "testdata/download.py", id, want)
		})
	}
	for _, node := range []string{"openai", "openai-6"} {
		t.Run("Node "+node, func(t *testing.T) {
			t.Parallel()
			runSDK(t, "node", "testdata/download.mjs", variable(t, "MUSKETRY_E2E_NODE_MODULES"), node, id, want)
		})
	}
}

// asOnAWS demands what API Gateway makes of the length of a streamed answer.
func asOnAWS(t *testing.T, res *http.Response, size int64) {
	t.Helper()
	if told := res.Header.Get("X-Amzn-Remapped-Content-Length"); res.ContentLength != -1 || told != strconv.FormatInt(size, 10) {
		t.Errorf("the length is %d, and %q under another name", res.ContentLength, told)
	}
}

// held demands that an answer says of how many bytes it is, and the SHA-256 of the whole file.
func held(t *testing.T, h http.Header, size int64, want string) {
	t.Helper()
	digest, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	if h.Get("X-Musketry-Content-Length") != strconv.FormatInt(size, 10) ||
		h.Get("Repr-Digest") != "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":" {
		t.Errorf("length %q, digest %q", h.Get("X-Musketry-Content-Length"), h.Get("Repr-Digest"))
	}
}

// TestDownloadOfOutput demands the same of a batch's output: 40 answers of 1.5 MB each, in the order of the input.
func TestDownloadOfOutput(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	var lines []any
	var order []string
	for i := range 40 {
		order = append(order, fmt.Sprintf("large-%02d", i))
		lines = append(lines, chat(order[i], "standin:size=1500000", m))
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != 40 {
		t.Fatalf("batch ended %s", describe(b))
	}
	if diff := cmp.Diff(order, customIDs(results(t.Context(), t, c, b.OutputFileID))); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	res, err := c.Files.Content(t.Context(), b.OutputFileID)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil || len(content) < largeFile {
		t.Fatalf("the output has %d bytes: %v", len(content), err)
	}
	everyClient(t, c, b.OutputFileID, sum(content), int64(len(content)))
}

// ranges asks for parts of a file, some of them larger than what a Lambda answers at once.
func ranges(t *testing.T, c openai.Client, id string, content []byte) {
	t.Helper()
	tag, size := `"`+id+`"`, len(content)
	for header, want := range map[string][2]int{
		"bytes=0-0": {0, 1}, "bytes=-10": {size - 10, size}, "bytes=59999999-70000000": {size - 1, size},
		"bytes=1000000-20999999": {1_000_000, 21_000_000},
	} {
		res, err := c.Files.Content(t.Context(), id, option.WithHeader("Range", header), option.WithHeader("If-Range", tag))
		if err != nil {
			t.Fatalf("%s: %v", header, err)
		}
		got, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			t.Fatalf("%s: %v", header, err)
		}
		named := fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, size)
		if res.StatusCode != http.StatusPartialContent || res.Header.Get("Content-Range") != named ||
			res.Header.Get("ETag") != tag || !bytes.Equal(got, content[want[0]:want[1]]) {
			t.Errorf("%s: %d, %d bytes, header %v", header, res.StatusCode, len(got), res.Header)
		}
		held(t, res.Header, int64(want[1]-want[0]), sum(content))
	}
	//nolint:bodyclose // there is none
	_, err := c.Files.Content(t.Context(), id, option.WithHeader("Range", "bytes=60000000-"))
	var refused *openai.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range behind the end: %v, want a 416", err)
	}
}

// TestDownloadBreaksOff demands that a download that fails on its way fails at the client too.
func TestDownloadBreaksOff(t *testing.T) {
	t.Parallel()
	c, content := newClient(t, "OPENAI_API_KEY"), noise(3_000_000)
	id := uploadParts(t.Context(), t, c, openai.FilePurposeUserData, content)
	cutObject(t, id, content[:1_500_000])
	res, err := c.Files.Content(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) > 1_500_000 {
		t.Errorf("%d of %d bytes: %v, want %v", len(got), len(content), err, io.ErrUnexpectedEOF)
	}
}

// cutObject leaves a file's object less than its record says.
func cutObject(t *testing.T, id string, content []byte) {
	t.Helper()
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	bucket := variable(t, "MUSKETRY_BUCKET")
	pages := s3.NewListObjectsV2Paginator(store, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("tenants/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			if !strings.HasSuffix(*o.Key, "/files/"+id) {
				continue
			}
			in := &s3.PutObjectInput{Bucket: &bucket, Key: o.Key, Body: bytes.NewReader(content)}
			if _, err := store.PutObject(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s has no object", id)
}
