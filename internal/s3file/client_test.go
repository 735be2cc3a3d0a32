package s3file_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/s3file"
)

// behind returns a Bucket behind a TLS server that answers as handle says.
func behind(t *testing.T, handle http.HandlerFunc) *s3file.Bucket {
	t.Helper()
	server := httptest.NewTLSServer(handle)
	t.Cleanup(server.Close)
	return s3file.New(s3file.NewClient(aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}), "bucket")
}

// S3 verifies a body by its SHA-256, and keeps it; nothing is sent of another sort.
func TestBodiesHaveASum(t *testing.T) {
	t.Parallel()
	const form = `<Part><ChecksumSHA256>%s</ChecksumSHA256><ETag>&#34;tag&#34;</ETag><PartNumber>1</PartNumber></Part>`
	seen := map[string]string{}
	b := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for name := range r.Header {
			name = strings.ToLower(name)
			if strings.Contains(name, "trailer") || name == "content-md5" || strings.Contains(name, "crc") {
				t.Errorf("%s %s has a header %s", r.Method, r.URL, name)
			}
		}
		if got := r.Header.Get("X-Amz-Checksum-Sha256"); r.Method == http.MethodPut && got != sumOf(body) {
			t.Errorf("%s %s has the sum %q", r.Method, r.URL, got)
		}
		seen[r.Method+" "+r.URL.RequestURI()] = string(body)
		w.Header().Set("ETag", `"tag"`)
		switch r.Method {
		case http.MethodPost:
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
		case http.MethodGet:
			_, _ = fmt.Fprintf(w, "<ListPartsResult>"+form+"</ListPartsResult>", sumOf([]byte("part")))
		}
	})
	ctx := t.Context()
	if err := b.Put(ctx, "a/k", []byte("body")); err != nil {
		t.Fatal(err)
	}
	id, err := b.StartParts(ctx, "a/k")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := b.PutPart(ctx, "a/k", id, 1, []byte("part"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.FinishParts(ctx, "a/k", id, []string{sum}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"PUT /bucket/a/k?x-id=PutObject":                          "body",
		"POST /bucket/a/k?uploads=":                               "",
		"PUT /bucket/a/k?partNumber=1&uploadId=u&x-id=UploadPart": "part",
		"GET /bucket/a/k?uploadId=u&x-id=ListParts":               "",
		"POST /bucket/a/k?uploadId=u": `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` +
			fmt.Sprintf(form, sumOf([]byte("part"))) + `</CompleteMultipartUpload>`,
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestReadIsExactOrAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want error // nil: any error
	}{
		"the range":         {"234", errNone},
		"short":             {"23", io.ErrUnexpectedEOF},
		"nothing":           {"", io.ErrUnexpectedEOF},
		"the whole instead": {"0123456789", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := behind(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Range"); got != "bytes=2-4" {
					t.Errorf("range is %q, want bytes=2-4", got)
				}
				_, _ = io.WriteString(w, tc.body)
			})
			got, err := b.Read(t.Context(), "k", 2, 3)
			switch {
			case errors.Is(tc.want, errNone):
				if err != nil || string(got) != tc.body {
					t.Errorf("%q, error %v, want %q", got, err, tc.body)
				}
			case err == nil, tc.want != nil && !errors.Is(err, tc.want):
				t.Errorf("%q, error %v, want %v", got, err, tc.want)
			}
		})
	}
}

var errNone = errors.New("no error")

// What was not asked for is not read.
func TestOpenDoesNotReadAhead(t *testing.T) {
	t.Parallel()
	const size = 1 << 30
	b := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1073741824")
		for n := 0; n < size; n += 1 << 16 {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return // the reader has gone
			}
		}
		t.Error("all of it was sent")
	})
	r, err := b.Open(t.Context(), "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestBodiesMayBeReadForMinutes has a body come slowly over a client whose own
// limit, made for other services, is shorter.
func TestBodiesMayBeReadForMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const pieces = 6
		client := awshttp.NewBuildableClient().WithTimeout(10 * time.Second).
			WithTransportOptions(func(tr *http.Transport) {
				tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go trickle(theirs, pieces)
					return ours, nil
				}
			})
		b := s3file.New(s3file.NewClient(aws.Config{
			Region: "us-east-1", BaseEndpoint: aws.String("http://s3.test"), HTTPClient: client,
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		}), "bucket")
		got, err := b.Read(t.Context(), "k", 0, pieces)
		if err != nil || len(got) != pieces {
			t.Errorf("%d bytes, error %v", len(got), err)
		}
	})
}

// trickle answers one request with a byte every 9 seconds.
func trickle(conn net.Conn, bytes int) {
	defer func() { _ = conn.Close() }()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n\r\n", bytes)
	for range bytes {
		time.Sleep(9 * time.Second)
		_, _ = io.WriteString(conn, "x")
	}
}
