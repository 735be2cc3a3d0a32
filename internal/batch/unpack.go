package batch

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// Unpack returns what content is once it is unpacked: content itself unless it
// is to be, as PlainName says, or begins as gzip does. Reading returns a *FileError
// where it cannot be unpacked.
func Unpack(content io.Reader, always bool) io.Reader {
	read := bufio.NewReaderSize(content, unpackAhead)
	if start, _ := read.Peek(len(gzipStart)); !always && string(start) != gzipStart {
		return read // and so is what went wrong in peeking
	}
	return &unpacked{from: &tracked{from: read}, named: always}
}

// unpackAhead is how many bytes of a file are read at once.
const unpackAhead = 64 << 10

// An unpacked reads a gzip stream (https://www.rfc-editor.org/rfc/rfc1952). It
// returns a *FileError if the stream is none, or broken.
type unpacked struct {
	from *tracked
	gzip *gzip.Reader // nil before the first byte

	named bool // as a compressed file
}

func (u *unpacked) Read(p []byte) (int, error) {
	if u.gzip == nil {
		z, err := gzip.NewReader(u.from)
		if err != nil {
			return 0, u.judge(err)
		}
		u.gzip = z
	}
	n, err := u.gzip.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.judge(err)
	}
	return n, err
}

// judge returns what went wrong below, if anything did; else it was the bytes.
func (u *unpacked) judge(err error) error {
	if u.from.err != nil {
		return u.from.err
	}

	why := "its bytes are damaged"
	switch {
	case errors.Is(err, gzip.ErrHeader):
		why = "it does not begin as a gzip file does"
	case errors.Is(err, gzip.ErrChecksum):
		why = "its checksum is wrong"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		why = "it ends too early"
	}
	claim := "begins as a gzip file does"
	if u.named {
		claim = "has a name that ends in .gz"
	}
	return &FileError{
		Param: "file", Code: codeFileFormat, Message: fmt.Sprintf("The file %s, but gunzip cannot unpack it: %s.", claim, why),
	}
}

// A tracked remembers the error that ended a reader, unless that was its end.
type tracked struct {
	from io.Reader
	err  error
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}
