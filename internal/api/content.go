package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musketry/musketry/internal/batch"
)

// presignedLife is how long a redirect's address works: a client follows it at
// once, and a slow download that has begun goes on.
const presignedLife = 15 * time.Minute

// pourTries is how often an object is opened for one answer: a body that breaks
// off is read on from where it broke.
const pourTries = 4

// A Streamer is a ResponseWriter that sends an answer while it is written, and
// so takes larger ones than Config.MaxAnswer.
type Streamer interface {
	http.ResponseWriter
	// MaxStream returns how many bytes of content an answer may have.
	MaxStream() int64
}

// fileContent answers a file's bytes: whole, or the part that the header Range
// names (https://www.rfc-editor.org/rfc/rfc9110#section-14.2), one range at
// most. A part that one answer cannot carry is answered up to where it can,
// which Content-Range says; a whole file that one answer cannot carry is read
// from where a Presigner says, or in ranges.
func (a *api) fileContent(w http.ResponseWriter, r *http.Request, tenant string) error {
	f, err := a.file(r, tenant)
	if err != nil {
		return err
	}
	asked := r.Header.Get("Range")
	if known := r.Header.Get("If-Range"); known != "" && known != entityTag(f) {
		asked = "" // RFC 9110, 13.1.5: a part of something else is of no use
	}
	span, err := parseRange(asked, f.Bytes)
	if err != nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", f.Bytes))
		return err
	}
	if r.Method == http.MethodHead {
		contentHead(w, f, span) // RFC 9110, 9.3.2: as for GET, which may take more than one answer
		return nil
	}
	if s, ok := streamer(w); ok {
		return a.streamContent(w, r, f, span, s.MaxStream())
	}
	return a.bufferContent(w, r, f, span)
}

// streamContent sends span as it is read, up to limit bytes of it. It returns
// an error also where the answer has begun, which is broken off then.
func (a *api) streamContent(w http.ResponseWriter, r *http.Request, f batch.File, span span, limit int64) error {
	if span.length > limit {
		if !span.partial {
			return a.elsewhere(w, r, f)
		}
		span.length = limit
	}
	body, err := a.Contents.Open(r.Context(), f.ObjectKey(), span.first)
	if err != nil {
		return fmt.Errorf("api: open content: %w", err)
	}
	contentHead(w, f, span)
	return a.pour(r.Context(), w, body, f.ObjectKey(), span)
}

// pour copies span of an object, of which body is the first opening. It returns
// io.ErrUnexpectedEOF, among others, if the object ends before span does.
func (a *api) pour(ctx context.Context, w io.Writer, body io.ReadCloser, key string, span span) error {
	out := &outlet{w: w}
	for try := 1; ; try++ {
		n, err := io.CopyN(out, body, span.length)
		_ = body.Close() // what was needed of it has been read
		span.first, span.length = span.first+n, span.length-n
		switch {
		case span.length == 0:
			return nil
		case out.err != nil:
			return fmt.Errorf("api: send content: %w", out.err)
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
		if try == pourTries || ctx.Err() != nil {
			return fmt.Errorf("api: read content, %d bytes left: %w", span.length, err)
		}
		if body, err = a.Contents.Open(ctx, key, span.first); err != nil {
			return fmt.Errorf("api: open content again, %d bytes left: %w", span.length, err)
		}
	}
}

// An outlet remembers that writing failed, which io.CopyN does not tell from a
// failure to read.
type outlet struct {
	w   io.Writer
	err error
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.err = err
	}
	return n, err
}

// bufferContent answers as much of span as fits into one answer.
func (a *api) bufferContent(w http.ResponseWriter, r *http.Request, f batch.File, span span) error {
	if !span.partial && f.Bytes > int64(a.config.MaxAnswer) {
		return a.elsewhere(w, r, f)
	}
	body, err := a.Objects.Read(r.Context(), f.ObjectKey(), span.first, min(span.length, int64(a.config.MaxAnswer)))
	if err != nil {
		return fmt.Errorf("api: read content: %w", err)
	}
	if sent := a.fitting(body, f.Bytes-span.first); len(sent) < len(body) || int64(len(body)) < span.length {
		if !span.partial {
			return a.elsewhere(w, r, f)
		}
		body = sent
	}
	span.length = int64(len(body))
	contentHead(w, f, span)
	_, _ = w.Write(body) //nolint:gosec // the user's own bytes, as an attachment and never sniffed; who is gone needs no error
	return nil
}

// What an answer with a file's bytes tells beside Content-Length, which does not
// survive the way of a streamed answer: API Gateway calls it
// x-amzn-Remapped-Content-Length and sends chunks (docs/aws.md).
const (
	// HeaderLength has the number of the answer's bytes.
	HeaderLength = "X-Musketry-Content-Length"
	// HeaderDigest has the SHA-256 of the whole file, of whatever range the
	// answer is (https://www.rfc-editor.org/rfc/rfc9530#section-3).
	HeaderDigest = "Repr-Digest"
)

// contentHead writes status and header of an answer with span of f.
func contentHead(w http.ResponseWriter, f batch.File, span span) {
	status := http.StatusOK
	h := w.Header()
	if span.partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", span.first, span.first+span.length-1, f.Bytes))
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", entityTag(f))
	h.Set("Content-Type", contentType(f))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.FormatInt(span.length, 10))
	h.Set(HeaderLength, strconv.FormatInt(span.length, 10))
	if sum, err := hex.DecodeString(f.SHA256); err == nil && len(sum) > 0 {
		h.Set(HeaderDigest, "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	w.WriteHeader(status)
}

// entityTag names the bytes of f, which never change under one id.
func entityTag(f batch.File) string { return strconv.Quote(f.ID) }

// streamer returns what w writes to if that is a Streamer.
func streamer(w http.ResponseWriter) (Streamer, bool) {
	for {
		if s, ok := w.(Streamer); ok {
			return s, true
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil, false
		}
		w = inner.Unwrap()
	}
}

// fitting returns as much of body's start as one answer has room for. It does
// not end within a character, unless the file, of which rest bytes are left,
// does: text is what every transport carries.
func (a *api) fitting(body []byte, rest int64) []byte {
	whole := int64(len(body)) == rest
	for room := a.config.Room(body); room > a.config.MaxAnswer; room = a.config.Room(body) {
		// What is left over is shared out evenly, so few rounds are needed.
		n := int(int64(len(body)) * int64(a.config.MaxAnswer) / int64(room))
		body, whole = body[:min(n, len(body)-1)], false
	}
	if whole {
		return body
	}
	for i := 1; i < utf8.UTFMax && i < len(body); i++ {
		if tail := body[len(body)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return body[:len(body)-i]
			}
			return body
		}
	}
	return body
}

// elsewhere answers for a file that no answer can carry whole.
func (a *api) elsewhere(w http.ResponseWriter, r *http.Request, f batch.File) error {
	if a.Presigner == nil || staysHome(r) {
		return &refusalError{
			status: http.StatusRequestEntityTooLarge, code: "file_too_large_for_one_answer",
			message: fmt.Sprintf("The file has %d bytes, more than one answer can carry. Read it in ranges: send "+
				"'Range: bytes=0-', and go on after the last byte that Content-Range names.", f.Bytes),
		}
	}
	address, err := a.Presigner.Presign(r.Context(), f.ObjectKey(), batch.Download{Name: safeName(f), Type: contentType(f)}, presignedLife)
	if err != nil {
		return fmt.Errorf("api: presign: %w", err)
	}
	w.Header().Set("Location", address)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusFound)
	return nil
}

// staysHome reports whether r comes from a client that refuses a redirect to
// another origin, with an error that helps nobody: openai-go from version 3 on.
func staysHome(r *http.Request) bool {
	major, _, _ := strings.Cut(r.Header.Get("X-Stainless-Package-Version"), ".")
	return r.Header.Get("X-Stainless-Lang") == "go" && !slices.Contains([]string{"0", "1", "2"}, major)
}

func contentType(f batch.File) string {
	if path.Ext(f.Name) == ".jsonl" || f.Purpose == batch.PurposeBatch {
		return "application/jsonl"
	}
	return "application/octet-stream"
}

// A span is what is asked for of a file.
type span struct {
	first   int64
	length  int64
	partial bool
}

// parseRange reads a Range header of a file of size bytes. What it cannot read,
// and several ranges, count as none, as RFC 9110 allows. It returns a 416 if
// the range lies behind the file's end.
func parseRange(header string, size int64) (span, error) {
	all := span{length: size}
	unit, spec, ok := strings.Cut(header, "=")
	from, to, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || !dash {
		return all, nil
	}
	first, ok1 := position(from)
	last, ok2 := position(to)
	switch {
	case !ok1 || !ok2 || from == "" && to == "" || from != "" && to != "" && last < first:
		return all, nil
	case from == "": // the last so many bytes
		first, last = max(size-last, 0), size-1
	case to == "":
		last = size - 1
	}
	if last = min(last, size-1); first > last {
		return span{}, &refusalError{
			status: http.StatusRequestedRangeNotSatisfiable, code: "range_not_satisfiable",
			message: fmt.Sprintf("The range asked for lies behind the file's end: it has %d bytes.", size),
		}
	}
	return span{first: first, length: last - first + 1, partial: true}, nil
}

// position reads a byte's position, 0 if it is left out, and false if it is no
// number. One that no file reaches counts as the largest.
func position(digits string) (int64, bool) {
	digits = strings.TrimSpace(digits)
	if digits == "" {
		return 0, true
	}
	if strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}
