package api

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
)

// An unpacked reads a gzip stream (https://www.rfc-editor.org/rfc/rfc1952). It
// returns a 400 if the stream is none, or broken.
type unpacked struct {
	from *tracked
	gzip *gzip.Reader // nil before the first byte
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
	return &refusalError{
		status: http.StatusBadRequest, param: "file", code: "invalid_file_format",
		message: "The file's name ends in .gz, but gunzip cannot unpack it: " + why + ".",
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
