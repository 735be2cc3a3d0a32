package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed assets
var assets embed.FS

// index is the file that the page's own address answers with.
const index = "index.html"

// policy has the browser take nothing that is not of this origin, nothing that
// stands in the page itself, and no text as markup, whatever a script does
// (https://www.w3.org/TR/CSP3, https://www.w3.org/TR/trusted-types). Nobody may
// show the page within another.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// A file is one of the page's.
type file struct {
	body []byte
	kind string // its Content-Type
	tag  string // its ETag: the page is asked for anew whenever it is opened, and sent when it has changed
}

// Handler returns the handler of the page's files, by the path value "file": an
// empty one is the page itself. What is no file of the page is notFound's to answer.
// The page's addresses are relative, so one without a slash at its end is answered
// with a redirect to the one that has it.
func Handler(notFound http.Handler) http.Handler {
	files := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("file")
		if name == "" {
			if at, _, _ := strings.Cut(r.RequestURI, "?"); !strings.HasSuffix(at, "/") {
				w.Header().Set("Location", path.Base(at)+"/")
				w.Header().Set("Cache-Control", "no-store")
				w.WriteHeader(http.StatusFound)
				return
			}
			name = index
		}
		f, ok := files[name]
		if !ok {
			notFound.ServeHTTP(w, r)
			return
		}
		f.serve(w, r)
	})
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for those who do not know frame-ancestors
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(f.body) // the client is gone: nobody is left to tell
}

// load reads the page's files. It panics if they cannot be read, which the
// compiler has put into the program.
func load() map[string]file {
	files := map[string]file{}
	err := fs.WalkDir(assets, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := assets.ReadFile(name)
		sum := sha256.Sum256(body)
		files[strings.TrimPrefix(name, "assets/")] = file{
			body: body, kind: kindOf(name), tag: strconv.Quote(hex.EncodeToString(sum[:8])),
		}
		return err
	})
	if err != nil {
		panic("ui: " + err.Error())
	}
	return files
}

// kindOf returns the Content-Type of a file of this name. The system's own table
// is not asked: it differs from one to the next.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}
