package submit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// readAhead is how many bytes a lineReader asks for at once.
const readAhead = 256 << 10

// A line is one line of an input file that is not blank.
type line struct {
	text    []byte // without its newline, until the next read; empty if tooLong
	number  int    // of all the lines in the file, blank ones too, counted from 1
	offset  int64  // of text's first byte in the file
	tooLong bool   // it has more bytes than the reader's longest
}

// A lineReader reads an input file line by line, in memory bounded by the
// longest line. It passes over a byte order mark at the file's start, over
// blank lines, and over the carriage return of a CRLF.
type lineReader struct {
	body   io.ReadCloser
	in     *bufio.Reader
	most   int    // bytes of a line, its end excluded
	buf    []byte // of a line that does not fit in the reader's own buffer
	number int    // lines read
	offset int64  // of the next line
}

// newLineReader reads body, whose first byte is that at offset in its file, and
// whose lines have at most so many bytes.
func newLineReader(body io.ReadCloser, offset int64, most int) *lineReader {
	return &lineReader{body: body, in: bufio.NewReaderSize(body, readAhead), most: most, offset: offset}
}

// Close closes what is read.
func (r *lineReader) Close() error { return r.body.Close() }

// next returns the next line that is not blank, and io.EOF after the last.
func (r *lineReader) next() (line, error) {
	for {
		ln, err := r.read()
		if err != nil || ln.tooLong || len(bytes.TrimSpace(ln.text)) > 0 {
			return ln, err
		}
	}
}

// read returns the next line, blank or not.
func (r *lineReader) read() (line, error) {
	r.skipMark()
	ln := line{offset: r.offset, number: r.number + 1}
	text, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		text, ln.tooLong, err = r.gather(text)
	} else {
		r.offset += int64(len(text))
	}
	switch {
	case errors.Is(err, io.EOF) && r.offset == ln.offset:
		return line{}, io.EOF
	case err != nil && !errors.Is(err, io.EOF): // the last line may lack its newline
		return line{}, fmt.Errorf("read line %d: %w", ln.number, err)
	}
	r.number++
	if ln.tooLong {
		return ln, nil
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	ln.text = bytes.TrimSuffix(text, []byte("\r"))
	ln.tooLong = len(ln.text) > r.most
	return ln, nil
}

// gather reads a long line to its end, and keeps it unless it is too long.
func (r *lineReader) gather(start []byte) (text []byte, tooLong bool, _ error) {
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
func (r *lineReader) skipMark() {
	if r.offset != 0 {
		return
	}
	if start, _ := r.in.Peek(3); string(start) == "\uFEFF" {
		n, _ := r.in.Discard(len(start)) // it has just been peeked
		r.offset += int64(n)
	}
}
