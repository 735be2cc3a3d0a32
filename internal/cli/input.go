package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/batch"
)

// maxInputBytes is the largest file that can be sent, the Uploads API's limit
// (https://platform.openai.com/docs/api-reference/uploads/create).
const maxInputBytes = 8 << 30

// gzipStart is how a file begins that gzip has compressed
// (https://www.rfc-editor.org/rfc/rfc1952).
const gzipStart = "\x1f\x8b"

// An input is a file of requests, ready to be sent. It must be closed.
type input struct {
	file  *os.File
	name  string // what the user called it
	label string // the name that the server is told
	bytes int64
	temp  bool

	purpose openai.FilePurpose
	media   string // the type that the server is told; empty: that of JSONL
	life    int64  // seconds after which the server deletes it; 0: not said
}

// openInput opens a file of requests. The name "-" means standard input, which
// is first written to a temporary file, because its size must be known before
// it can be sent, and a part may have to be sent again.
func openInput(ctx context.Context, name string, stdin io.Reader) (*input, error) {
	in := &input{name: name, label: filepath.Base(name), purpose: openai.FilePurposeBatch}
	var err error
	if name == "-" {
		in.name, in.label, in.temp = "standard input", "stdin.jsonl", true
		in.file, err = spool(&stopReader{ctx: ctx, r: stdin})
	} else {
		in.file, err = os.Open(name)
	}
	if err != nil {
		return nil, err
	}
	if err := in.measure(); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (in *input) measure() error {
	info, err := in.file.Stat()
	if err != nil {
		return err
	}
	in.bytes = info.Size()
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file; give its contents through standard input, with \"-\" as the file", in.name)
	case in.bytes == 0:
		return fmt.Errorf("%s is empty; a batch needs at least one request", in.name)
	case in.bytes > maxInputBytes:
		return fmt.Errorf("%s has %s, more than the %s that can be sent; split it", in.name, size(in.bytes), size(maxInputBytes))
	}
	return nil
}

func (in *input) close() {
	_ = in.file.Close()
	if in.temp {
		_ = os.Remove(in.file.Name())
	}
}

// spool writes what r holds to a temporary file.
func spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "musketry-*.jsonl")
	if err != nil {
		return nil, fmt.Errorf("a temporary file for standard input: %w", err)
	}
	if _, err := io.Copy(f, io.LimitReader(r, maxInputBytes+1)); err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	return f, nil
}

// endpoint returns the path that the file's first request names.
func (in *input) endpoint() (string, error) {
	// Reads at offsets leave the file where it is for the upload.
	r, err := in.lines()
	if err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		line, err := readLine(r)
		if len(bytes.TrimSpace(line)) > 0 {
			if len(line) > batch.MostLineBytes {
				return "", fmt.Errorf("%s, line %d is longer than %s, the most that any deployment takes", in.name, n, size(batch.MostLineBytes))
			}
			request, bad := batch.DecodeInput(line)
			if bad != nil {
				return "", in.refuse(n, bad)
			}
			return request.URL, nil
		}
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s holds nothing but blank lines; a batch needs at least one request", in.name)
		}
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", in.name, err)
		}
	}
}

// lines returns a reader of the file's lines, unpacked if gzip compressed it.
func (in *input) lines() (*bufio.Reader, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(in.file, 0, in.bytes), 256<<10)
	if start, _ := r.Peek(len(gzipStart)); string(start) != gzipStart {
		return r, nil // and so is what went wrong in peeking
	}
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%s begins as a gzip file does, but cannot be unpacked: %w", in.name, err)
	}
	return bufio.NewReaderSize(unpacked, 256<<10), nil
}

func (in *input) refuse(line int, err error) error {
	var bad *batch.LineError
	if !errors.As(err, &bad) {
		return fmt.Errorf("%s, line %d: %w", in.name, line, err)
	}
	return fmt.Errorf("%s, line %d: %s\nA line looks like "+
		`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[…]}}`,
		in.name, line, bad.Message)
}

// readLine returns the next line, its newline left out. A line that is longer
// than any deployment takes is returned in part: enough of it to be refused.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		chunk, err := r.ReadSlice('\n')
		line = append(line, chunk...)
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > batch.MostLineBytes {
			return bytes.TrimSuffix(line, []byte("\n")), err
		}
	}
}

// A stopReader stops reading when its context is done, even while a person at a
// terminal types nothing. The read that is under way then is left behind; it
// ends with the process, which has no other use for standard input.
type stopReader struct {
	ctx context.Context
	r   io.Reader
}

type readResult struct {
	bytes []byte
	err   error
}

func (s *stopReader) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	done := make(chan readResult, 1)
	go func() {
		// Not p: the caller has it back when the context is done.
		own := make([]byte, len(p))
		n, err := s.r.Read(own)
		done <- readResult{bytes: own[:n], err: err}
	}()
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case r := <-done:
		return copy(p, r.bytes), r.err
	}
}
