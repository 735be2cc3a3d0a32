package api

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/jsonscan"
)

const (
	maxFormParts  = 50
	maxFormField  = 64 << 10 // bytes
	maxNameLength = 255      // bytes of a file's name
)

// A form is a multipart body with one file, its parts in any order.
type form struct {
	fields   map[string]string // a field within another under the name outer[inner]
	file     []byte
	filename string
	hasFile  bool
}

// readForm reads r's body, which must be multipart/form-data and no larger
// than limit bytes. The part named fileField is the file, and names are what
// other parts may be called.
func readForm(w http.ResponseWriter, r *http.Request, limit int64, fileField string, names ...string) (form, error) {
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
			err = f.add(part, fileField, names)
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

func (f *form) add(part *multipart.Part, fileField string, names []string) error {
	name := fieldName(part.FormName())
	if err := known(name, append([]string{fileField}, names...)); err != nil {
		return err
	}
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
	if _, twice := f.fields[name]; twice && !ignored(name) {
		return badRequest(name, batch.CodeInvalidValue, "The form has the field '%s' more than once.", name)
	}
	f.fields[name] = string(value)
	return nil
}

// fieldName spells the name of a field within another in one way: clients write
// outer[inner] or outer.inner.
func fieldName(name string) string {
	outer, inner, nested := strings.Cut(name, ".")
	if !nested || outer == "" || inner == "" || strings.ContainsAny(name, "[]") {
		return name
	}
	return outer + "[" + inner + "]"
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

// The fields of a file's life: the whole as JSON, or its parts one by one.
const (
	fieldLife    = "expires_after"
	fieldAnchor  = "expires_after[anchor]"
	fieldSeconds = "expires_after[seconds]"
)

// life reads how long the file lives; 0 if no field says so.
func (f *form) life() (time.Duration, error) {
	whole, hasWhole := f.fields[fieldLife]
	anchor, hasAnchor := f.fields[fieldAnchor]
	seconds, hasSeconds := f.fields[fieldSeconds]
	switch {
	case hasWhole && (hasAnchor || hasSeconds):
		return 0, badRequest(fieldLife, batch.CodeInvalidValue, "The form has the field '%s' more than once.", fieldLife)
	case hasWhole:
		return lifeInJSON(whole)
	case !hasAnchor && !hasSeconds:
		return 0, nil
	case !hasAnchor:
		return 0, missing(fieldAnchor)
	case !hasSeconds:
		return 0, missing(fieldSeconds)
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return 0, badRequest(fieldSeconds, batch.CodeInvalidType,
			"Invalid type for '%s': expected an integer, but got '%s' instead.", fieldSeconds, clip(seconds))
	}
	return lifeOf(anchor, n, fieldAnchor, fieldSeconds)
}

// lifeInJSON reads a life of which one field has all.
func lifeInJSON(text string) (time.Duration, error) {
	wrapped := fields(`{"` + fieldLife + `":` + text + `}`)
	if !jsonscan.Valid([]byte(text)) {
		return 0, badRequest(fieldLife, batch.CodeInvalidType, "Invalid type for '%s': expected an object in JSON, such as "+
			`{"anchor":"created_at","seconds":3600}, or the fields '%s' and '%s'.`, fieldLife, fieldAnchor, fieldSeconds)
	}
	return wrapped.life(fieldLife)
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
