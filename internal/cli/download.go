package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// downloadTries is how often a piece is asked for whose bytes do not arrive.
// The SDK repeats calls that are refused; it cannot repeat a broken body.
const downloadTries = 4

// A piece is a stretch of a file's bytes.
type piece struct {
	body  []byte
	total int64         // the file's size
	rest  io.ReadCloser // the whole file, in its place, from a server that knows no ranges
}

// download writes a file of the API to w and returns how many bytes it wrote.
// It asks for a few megabytes at a time: more than a serverless server can put
// into one answer.
func (a *app) download(ctx context.Context, c *client, fileID string, w io.Writer) (int64, error) {
	var offset int64
	for {
		p, err := a.piece(ctx, c, fileID, offset)
		if err != nil {
			return offset, err
		}
		if p.rest != nil {
			return copyRest(w, p.rest)
		}
		n, err := w.Write(p.body)
		offset += int64(n)
		if err != nil {
			return offset, fmt.Errorf("writing what was fetched: %w", err)
		}
		if offset >= p.total {
			return offset, nil
		}
	}
}

func copyRest(w io.Writer, rest io.ReadCloser) (int64, error) {
	n, err := io.Copy(w, rest)
	_ = rest.Close()
	if err != nil {
		return n, fmt.Errorf("after %s: %w", size(n), err)
	}

	return n, nil
}

// piece returns the stretch of a file that begins at offset.
func (a *app) piece(ctx context.Context, c *client, fileID string, offset int64) (piece, error) {
	for try := 1; ; try++ {
		p, err := c.piece(ctx, fileID, offset)
		if err == nil || try == downloadTries || ctx.Err() != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			return p, err
		}
		if err := wait(ctx, setback(try, a.env.Random())); err != nil {
			return piece{}, err
		}
	}
}

func (c *client) piece(ctx context.Context, fileID string, offset int64) (piece, error) {
	res, err := c.files.Content(ctx, fileID,
		option.WithHeader("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+pieceBytes-1)))
	var refused *openai.Error
	if errors.As(err, &refused) && refused.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset == 0 {
		return piece{}, nil // an empty file has no first byte
	}
	if err != nil {
		return piece{}, err
	}
	if res.StatusCode == http.StatusOK && offset == 0 {
		return piece{rest: res.Body}, nil
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusPartialContent {
		return piece{}, fmt.Errorf("at byte %d: the server answered %d to a request for a range", offset, res.StatusCode)
	}
	length, total, err := contentRange(res.Header.Get("Content-Range"), offset)
	if err != nil {
		return piece{}, err
	}
	body := make([]byte, length)
	if n, err := io.ReadFull(res.Body, body); err != nil {
		// Whatever broke the body, the rest of it may be asked for again.
		return piece{}, fmt.Errorf("at byte %d: %w: %w", offset+int64(n), io.ErrUnexpectedEOF, err)
	}

	return piece{body: body, total: total}, nil
}

// contentRange reads a Content-Range of an answer to a request for a piece
// that begins at offset (RFC 9110, 14.4).
func contentRange(header string, offset int64) (length, total int64, err error) {
	wrong := fmt.Errorf("at byte %d: the server answered with the range %.64q", offset, header)
	span, size, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	first, last, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, 0, wrong
	}
	a, err1 := strconv.ParseInt(first, 10, 64)
	b, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(size, 10, 64)
	if errors.Join(err1, err2, err3) != nil || a != offset || b < a || b >= total || b-a >= pieceBytes {
		return 0, 0, wrong
	}

	return b - a + 1, total, nil
}
