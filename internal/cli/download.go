package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// downloadTries is how often a chunk is asked for whose bytes do not arrive.
// The SDK repeats calls that are refused; it cannot repeat a broken body.
const downloadTries = 4

// The headers in which the API says what a streamed answer, which has no
// Content-Length, is to be held to: its bytes, and the file's digest (RFC 9530).
const (
	headerLength = "X-Musketry-Content-Length"
	headerDigest = "Repr-Digest"
)

// errOther reports a file that arrived and is another.
var errOther = errors.New("what arrived is not the file that the server has")

// A chunk is a stretch of a file's bytes.
type chunk struct {
	body   []byte
	total  int64         // the file's size
	sum    []byte        // the file's SHA-256, nil if the server does not say
	rest   io.ReadCloser // the whole file, in its place, from a server that knows no ranges
	length int64         // of rest; -1 if the server does not say
}

// A sink is where a file arrives.
type sink struct {
	w   io.Writer
	sum hash.Hash
	n   int64 // bytes that arrived
	err error // of writing

	breaks int   // how often a stream of the whole file broke off
	broken error // the last of them
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	_, _ = s.sum.Write(p[:n]) // never fails
	s.n += int64(n)
	if err != nil {
		s.err = fmt.Errorf("writing what was fetched: %w", err)
	}
	return n, s.err
}

// after returns err, of going on, with that after which it was gone on.
func (s *sink) after(err error) error {
	if s.broken == nil {
		return err
	}
	return fmt.Errorf("%w; going on from there: %w", s.broken, err)
}

// check holds what arrived to the server's digest of it.
func (s *sink) check(want []byte) error {
	if want != nil && !bytes.Equal(want, s.sum.Sum(nil)) {
		return fmt.Errorf("%w: its SHA-256 is %x, not %x", errOther, s.sum.Sum(nil), want)
	}
	return nil
}

// download writes a file of the API to w and returns how many bytes it wrote.
// It asks for a few megabytes at a time: more than a serverless server can put
// into one answer. What breaks off is gone on with from there. It returns an
// error wrapping errOther if the file is not the server's, byte for byte.
func (a *app) download(ctx context.Context, c *client, fileID string, w io.Writer) (int64, error) {
	out := &sink{w: w, sum: sha256.New()}
	for {
		p, err := a.chunk(ctx, c, fileID, out.n, pieceBytes)
		if err != nil {
			return out.n, out.after(err)
		}
		whole, err := p.take(out)
		if err == nil && whole {
			return out.n, out.check(p.sum)
		}
		if err == nil {
			continue
		}
		if err := a.outlast(ctx, out, err); err != nil {
			return out.n, err
		}
	}
}

// outlast waits until what broke off with err may be gone on with. It returns
// err if it may not.
func (a *app) outlast(ctx context.Context, out *sink, err error) error {
	out.breaks++
	if out.err != nil || errors.Is(err, errOther) || out.breaks == downloadTries || ctx.Err() != nil {
		return err
	}
	out.broken = err
	return wait(ctx, setback(out.breaks, a.env.Random()))
}

// take writes p to out, and reports whether it was the last.
func (p chunk) take(out *sink) (whole bool, err error) {
	if p.rest != nil {
		return true, p.copyTo(out)
	}
	_, err = out.Write(p.body)
	return out.n >= p.total, err
}

// copyTo writes a whole file to out. It returns an error wrapping
// io.ErrUnexpectedEOF if the file ends before the length that the server said,
// and errOther if it goes on behind it.
func (p chunk) copyTo(out *sink) error {
	n, err := io.Copy(out, p.rest)
	_ = p.rest.Close()
	switch {
	case err != nil:
		return fmt.Errorf("after %s: %w", size(n), err)
	case p.length >= 0 && n > p.length:
		return fmt.Errorf("%w: it has %d bytes, not %d", errOther, n, p.length)
	case n < p.length:
		return fmt.Errorf("after %s of %s: %w", size(n), size(p.length), io.ErrUnexpectedEOF)
	}
	return nil
}

// chunk returns the stretch of a file that begins at offset, of so many bytes at most.
func (a *app) chunk(ctx context.Context, c *client, fileID string, offset, most int64) (chunk, error) {
	for try := 1; ; try++ {
		p, err := c.chunk(ctx, fileID, offset, most)
		if err == nil || try == downloadTries || ctx.Err() != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			return p, err
		}
		if err := wait(ctx, setback(try, a.env.Random())); err != nil {
			return chunk{}, err
		}
	}
}

func (c *client) chunk(ctx context.Context, fileID string, offset, most int64) (chunk, error) {
	res, err := c.files.Content(ctx, fileID,
		option.WithHeader("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+most-1)))
	var refused *openai.Error
	if errors.As(err, &refused) && refused.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset == 0 {
		return chunk{}, nil // an empty file has no first byte
	}
	if err != nil {
		return chunk{}, err
	}
	if res.StatusCode == http.StatusOK && offset == 0 {
		return chunk{rest: res.Body, length: answerLength(res), sum: reprDigest(res.Header)}, nil
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusPartialContent {
		return chunk{}, fmt.Errorf("at byte %d: the server answered %d to a request for a range", offset, res.StatusCode)
	}
	length, total, err := contentRange(res.Header.Get("Content-Range"), offset, most)
	if err != nil {
		return chunk{}, err
	}
	body := make([]byte, length)
	if n, err := io.ReadFull(res.Body, body); err != nil {
		// Whatever broke the body, the rest of it may be asked for again.
		return chunk{}, fmt.Errorf("at byte %d: %w: %w", offset+int64(n), io.ErrUnexpectedEOF, err)
	}
	return chunk{body: body, total: total, sum: reprDigest(res.Header)}, nil
}

// answerLength returns how many bytes an answer is to have, and -1 if it does not say.
func answerLength(res *http.Response) int64 {
	if n, err := strconv.ParseInt(res.Header.Get(headerLength), 10, 64); err == nil && n >= 0 {
		return n
	}
	return res.ContentLength
}

// reprDigest returns the SHA-256 that a Repr-Digest has, and nil if it has none.
func reprDigest(h http.Header) []byte {
	for member := range strings.SplitSeq(strings.Join(h.Values(headerDigest), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(member), "=")
		inner, ok := strings.CutPrefix(value, ":")
		inner, ok2 := strings.CutSuffix(inner, ":")
		if sum, err := base64.StdEncoding.DecodeString(inner); ok && ok2 && err == nil && name == "sha-256" {
			return sum
		}
	}
	return nil
}

// contentRange reads a Content-Range of an answer to a request for a chunk
// that begins at offset (RFC 9110, 14.4).
func contentRange(header string, offset, most int64) (length, total int64, err error) {
	wrong := fmt.Errorf("at byte %d: the server answered with the range %.64q", offset, header)
	span, size, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	first, last, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, 0, wrong
	}
	a, err1 := strconv.ParseInt(first, 10, 64)
	b, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(size, 10, 64)
	if errors.Join(err1, err2, err3) != nil || a != offset || b < a || b >= total || b-a >= most {
		return 0, 0, wrong
	}
	return b - a + 1, total, nil
}
