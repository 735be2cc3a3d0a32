package batch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// linesAhead is how many bytes a LineReader asks for at once.
const linesAhead = 256 << 10

// A Line is one line of an input file that is not blank.
type Line struct {
	Text    []byte // without its newline, until the next read; empty if TooLong
	Number  int    // of all the lines in the file, blank ones too, counted from 1
	Offset  int64  // of Text's first byte in the file
	TooLong bool   // it has more bytes than the reader's longest
}

// A LineReader reads an input file line by line, in memory bounded by the
// longest line. It passes over a byte order mark at the file's start, over
// blank lines, and over the carriage return of a CRLF.
type LineReader struct {
	in     *bufio.Reader
	most   int    // bytes of a line, its end excluded
	buf    []byte // of a line that does not fit in the reader's own buffer
	number int    // lines read
	offset int64  // of the next line
}

// NewLineReader reads body, whose first byte is that at offset in its file, and
// whose lines have at most so many bytes.
func NewLineReader(body io.Reader, offset int64, most int) *LineReader {
	return &LineReader{in: bufio.NewReaderSize(body, linesAhead), most: most, offset: offset}
}

// Offset returns where in the file the next line begins.
func (r *LineReader) Offset() int64 { return r.offset }

// Next returns the next line that is not blank, and io.EOF after the last. Its
// other errors are body's.
func (r *LineReader) Next() (Line, error) {
	for {
		ln, err := r.read()
		if err != nil || ln.TooLong || len(bytes.TrimSpace(ln.Text)) > 0 {
			return ln, err
		}
	}
}

// read returns the next line, blank or not.
func (r *LineReader) read() (Line, error) {
	r.skipMark()
	ln := Line{Offset: r.offset, Number: r.number + 1}
	text, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		text, ln.TooLong, err = r.gather(text)
	} else {
		r.offset += int64(len(text))
	}
	switch {
	case errors.Is(err, io.EOF) && r.offset == ln.Offset:
		return Line{}, io.EOF
	case err != nil && !errors.Is(err, io.EOF): // the last line may lack its newline
		return Line{}, fmt.Errorf("read line %d: %w", ln.Number, err)
	}
	r.number++
	if ln.TooLong {
		return ln, nil
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	ln.Text = bytes.TrimSuffix(text, []byte("\r"))
	ln.TooLong = len(ln.Text) > r.most
	return ln, nil
}

// gather reads a long line to its end, and keeps it unless it is too long.
func (r *LineReader) gather(start []byte) (text []byte, tooLong bool, _ error) {
	longest := r.most + len("\r\n")
	r.buf = r.buf[:0]
	for part, err := start, bufio.ErrBufferFull; ; part, err = r.in.ReadSlice('\n') {
		r.offset += int64(len(part))
		if tooLong = tooLong || len(r.buf)+len(part) > longest; !tooLong {
			r.buf = append(r.buf, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return r.buf, tooLong, err
		}
	}
}

// skipMark passes over a byte order mark at the file's start.
func (r *LineReader) skipMark() {
	if r.offset != 0 {
		return
	}
	if start, _ := r.in.Peek(3); string(start) == "\uFEFF" {
		n, _ := r.in.Discard(len(start)) // it has just been peeked
		r.offset += int64(n)
	}
}
