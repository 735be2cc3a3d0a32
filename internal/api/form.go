package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	maxFormParts  = 50
	maxFormField  = 64 << 10 // bytes
	maxNameLength = 255      // bytes of a file's name
)

// A form is a multipart body with one file, its parts in any order.
type form struct {
	fields   map[string]string
	file     []byte
	filename string
	hasFile  bool
}

// readForm reads r's body, which must be multipart/form-data and no larger
// than limit bytes. The part named fileField is the file.
func readForm(w http.ResponseWriter, r *http.Request, fileField string, limit int64) (form, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return form{}, unsupported(r, "multipart/form-data")
	}
	if r.ContentLength > limit {
		return form{}, bodyTooLarge(&http.MaxBytesError{Limit: limit})
	}
	if params["boundary"] == "" {
		return form{}, badRequest("", "invalid_body", "The Content-Type of your request names no boundary.")
	}
	// What comes before the first boundary, as an empty line does on one local
	// cloud, is a preamble and skipped (https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1).
	reader := multipart.NewReader(http.MaxBytesReader(w, r.Body, limit), params["boundary"])
	f := form{fields: map[string]string{}}
	for n := 0; ; n++ {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) && n > 0 {
			return f, nil
		}
		if err == nil && n == maxFormParts {
			return form{}, badRequest("", "invalid_body", "The form has more than %d parts.", maxFormParts)
		}
		if err == nil {
			err = f.add(part, fileField)
		}
		if err != nil {
			return form{}, formError(err)
		}
	}
}

// formError makes what a form's reader says a 413, or a 400 that quotes nothing.
func formError(err error) error {
	var told *refusalError
	if tooLarge(err) || errors.As(err, &told) {
		return refusal(err)
	}
	return badRequest("", "invalid_body", "The multipart form in the body of your request cannot be read.")
}

func (f *form) add(part *multipart.Part, fileField string) error {
	name := part.FormName()
	if name == fileField {
		if f.hasFile {
			return badRequest(name, batch.CodeInvalidValue, "The form has more than one part '%s'.", name)
		}
		body, err := io.ReadAll(part)
		f.file, f.filename, f.hasFile = body, cleanName(part.FileName()), true
		return err
	}
	value, err := io.ReadAll(io.LimitReader(part, maxFormField+1))
	if err != nil {
		return err
	}
	if len(value) > maxFormField {
		return badRequest(clip(name), "string_above_max_length", "The form's field '%s' is too long.", clip(name))
	}
	f.fields[name] = string(value)
	return nil
}

// cleanName makes a file's name one that fits in headers and lists.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if len(name) > maxNameLength { // the end says what it is
		name = strings.ToValidUTF8(name[len(name)-maxNameLength:], "")
	}
	return name
}

// purpose reads the field purpose.
func (f *form) purpose() (batch.Purpose, error) {
	value, ok := f.fields["purpose"]
	if !ok || value == "" {
		return "", missing("purpose")
	}
	return checkPurpose(value)
}

// life reads the fields expires_after[anchor] and expires_after[seconds]; 0 if
// neither is there.
func (f *form) life() (time.Duration, error) {
	const anchorField, secondsField = "expires_after[anchor]", "expires_after[seconds]"
	anchor, hasAnchor := f.fields[anchorField]
	seconds, hasSeconds := f.fields[secondsField]
	switch {
	case !hasAnchor && !hasSeconds:
		return 0, nil
	case !hasAnchor:
		return 0, missing(anchorField)
	case !hasSeconds:
		return 0, missing(secondsField)
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return 0, badRequest(secondsField, batch.CodeInvalidType,
			"Invalid type for '%s': expected an integer, but got '%s' instead.", secondsField, clip(seconds))
	}
	return lifeOf(anchor, n, anchorField, secondsField)
}

func checkPurpose(value string) (batch.Purpose, error) {
	for _, known := range uploadPurposes() {
		if value == known {
			return batch.Purpose(value), nil
		}
	}
	return "", badRequest("purpose", batch.CodeInvalidValue,
		"Invalid value: '%s'. Supported values are: %s.", clip(value), quoted(uploadPurposes()))
}

// errFormat is OpenAI's own message for a file that is no JSONL.
func errFormat() error {
	return badRequest("file", "invalid_file_format", "Invalid file format for Batch API. Must be .jsonl")
}

func fileTooLarge(limit int64) error {
	return &refusalError{
		status: http.StatusBadRequest, param: "file", code: "file_too_large",
		message: fmt.Sprintf("File is too large. A file of this purpose has at most %d bytes.", limit),
	}
}
