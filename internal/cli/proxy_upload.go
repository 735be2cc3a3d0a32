package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

const (
	// proxyUploads is how many uploads of files are taken at a time, each of
	// which has some 20 MB in memory at most: its start, and the parts that are
	// on their way. Others wait for their turn.
	proxyUploads = 4
	// wholeBytes is the longest request that is passed on whole: a file of
	// pieceBytes and its form.
	wholeBytes = pieceBytes + 64<<10
	// maxFormField is the longest field of a form besides the file, and
	// maxFormParts how many there may be, as at the server.
	maxFormField = 64 << 10
	maxFormParts = 50
)

// A formError is what is wrong with a form that uploads a file.
type formError struct{ param, code, message string }

func (e *formError) Error() string { return e.message }

// createFile passes an upload on, in parts if it is large.
func (p *proxy) createFile(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	case <-r.Context().Done():
		return
	}
	start, err := io.ReadAll(io.LimitReader(r.Body, wholeBytes+1))
	if err != nil {
		refuse(w, http.StatusBadRequest, "", "invalid_body", "The body of your request broke off.")
		return
	}
	body := io.MultiReader(bytes.NewReader(start), r.Body)
	if len(start) <= wholeBytes {
		r.Body = io.NopCloser(bytes.NewReader(start))
		r.ContentLength, r.TransferEncoding = int64(len(start)), nil
		pass.ServeHTTP(w, r)
		return
	}
	file, err := p.sendForm(r, body)
	if err != nil { // a client hears nothing that is said before it has sent all
		_, _ = io.CopyN(io.Discard, r.Body, maxInputBytes) // it ends before
	}
	var (
		bad     *formError
		refused *openai.Error
	)
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, file) //nolint:gosec // the server's JSON, and the client may be gone
	case r.Context().Err() != nil:
	case errors.As(err, &bad):
		refuse(w, http.StatusBadRequest, bad.param, bad.code, bad.message)
	case errors.As(err, &refused) && refused.Response != nil:
		relay(w, refused)
	default:
		refuse(w, http.StatusBadGateway, "", "proxy_error", "The proxy could not send the file: "+firstLine(explain(err)))
	}
}

// relay answers as the server did.
func relay(w http.ResponseWriter, refused *openai.Error) {
	for _, name := range []string{"Retry-After", "X-Should-Retry", "X-Request-Id"} {
		if value := refused.Response.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	if refused.RawJSON() == "" {
		refuse(w, refused.StatusCode, "", "proxy_error", http.StatusText(refused.StatusCode))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(refused.StatusCode)
	_, _ = io.WriteString(w, `{"error":`+refused.RawJSON()+"}\n") // the client may be gone
}

// sendForm sends the file of a form in parts and returns the server's File.
func (p *proxy) sendForm(r *http.Request, body io.Reader) (string, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return "", &formError{code: "invalid_body", message: "A file is uploaded as multipart/form-data, with a boundary."}
	}
	f, err := readUploadForm(multipart.NewReader(body, params["boundary"]))
	if f.in != nil {
		defer f.in.close()
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return "", err
	}
	c, quiet := p.client(r.Header), *p.app
	quiet.env.Terminal = false // bars of several uploads would overwrite each other
	id, err := quiet.upload(r.Context(), c, f.in)
	if err != nil {
		return "", err
	}
	stored, err := c.files.Get(r.Context(), id)
	if err != nil {
		return "", fmt.Errorf("asking for %s: %w", id, err)
	}
	return stored.RawJSON(), nil
}

// client speaks to the server with a request's own key.
func (p *proxy) client(header http.Header) *client {
	opts := []option.RequestOption{
		option.WithBaseURL(p.target.String()),
		option.WithHTTPClient(p.app.env.HTTP),
		option.WithRequestTimeout(callTimeout),
		option.WithHeader("User-Agent", "musketry/"+p.app.env.Version),
	}
	for _, name := range []string{"Authorization", "Api-Key", "OpenAI-Organization", "OpenAI-Project"} {
		if value := header.Get(name); value != "" {
			opts = append(opts, option.WithHeader(name, value))
		}
	}
	return &client{base: p.target, files: openai.NewFileService(opts...), uploads: openai.NewUploadService(opts...)}
}

// An uploadForm is a form that uploads a file, its parts in any order.
type uploadForm struct {
	in     *input // nil: no file came
	fields map[string]string
}

// readUploadForm reads a form, whose file goes to a temporary one. The form's
// input, if there is one, must be closed, also where there is an error.
func readUploadForm(reader *multipart.Reader) (uploadForm, error) {
	f := uploadForm{fields: map[string]string{}}
	broken := &formError{code: "invalid_body", message: "The multipart form in the body of your request cannot be read."}
	for n := 0; ; n++ {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil || n == maxFormParts {
			return f, broken
		}
		if part.FormName() == "file" {
			err = f.addFile(part)
		} else {
			err = f.addField(part)
		}
		var told *formError
		var file *os.PathError // of the temporary file
		switch {
		case err == nil:
		case errors.As(err, &told), errors.As(err, &file):
			return f, err
		default:
			return f, broken
		}
	}
}

func (f *uploadForm) addFile(part *multipart.Part) error {
	if f.in != nil {
		return &formError{param: "file", code: "invalid_value", message: "The form has more than one part 'file'."}
	}
	file, err := spool(part)
	var full *os.PathError
	if errors.As(err, &full) {
		return fmt.Errorf("a temporary file: %w", full)
	}
	if err != nil {
		return err
	}
	name := part.FileName()
	f.in = &input{file: file, name: fmt.Sprintf("%.80q", name), label: name, temp: true}
	if kind := part.Header.Get("Content-Type"); kind != "" {
		f.in.media = kind
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f.in.bytes = info.Size()
	return nil
}

func (f *uploadForm) addField(part *multipart.Part) error {
	name := part.FormName()
	if outer, inner, nested := strings.Cut(name, "."); nested { // both spellings are in use
		name = outer + "[" + inner + "]"
	}
	switch name {
	case "purpose", "expires_after[anchor]", "expires_after[seconds]":
	default:
		return &formError{param: name, code: "unknown_parameter", message: fmt.Sprintf(
			"Unknown parameter: '%.64s'. Beside the file, the proxy sends purpose and expires_after[anchor] and [seconds].", name)}
	}
	value, err := io.ReadAll(io.LimitReader(part, maxFormField+1))
	if err != nil {
		return err
	}
	if len(value) > maxFormField {
		return &formError{param: name, code: "string_above_max_length", message: fmt.Sprintf("The form's field '%s' is too long.", name)}
	}
	f.fields[name] = string(value)
	return nil
}

// check sets the rest of f's input.
func (f *uploadForm) check() error {
	switch {
	case f.in == nil:
		return &formError{param: "file", code: "missing_required_parameter", message: "Missing required parameter: 'file'."}
	case f.in.label == "":
		return &formError{param: "file", code: "invalid_value", message: "The part 'file' of the form names no filename."}
	case f.in.bytes > maxInputBytes:
		return &formError{param: "file", code: "file_too_large", message: fmt.Sprintf(
			"The file is larger than %d bytes, the most that can be sent in parts.", int64(maxInputBytes))}
	case f.fields["purpose"] == "":
		return &formError{param: "purpose", code: "missing_required_parameter", message: "Missing required parameter: 'purpose'."}
	}
	f.in.purpose = openai.FilePurpose(f.fields["purpose"])
	return f.checkLife()
}

// checkLife sets how long f's file is kept.
func (f *uploadForm) checkLife() error {
	text, said := f.fields["expires_after[seconds]"]
	anchor, anchored := f.fields["expires_after[anchor]"]
	if !said && !anchored {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < 1:
		return &formError{param: "expires_after[seconds]", code: "invalid_value", message: "'expires_after[seconds]' is a whole number above 0."}
	case anchor != "created_at":
		return &formError{param: "expires_after[anchor]", code: "invalid_value", message: "'expires_after[anchor]' is 'created_at'."}
	}
	f.in.life = n
	return nil
}
