package api

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode"

	"github.com/musketry/musketry/internal/batch"
)

const (
	linkPattern = "POST /files/{id}/link"

	// linkLife is how long a link may be followed: a page does so at once, and a
	// download that has begun goes on.
	linkLife = 60 * time.Second
	// longestName is the longest name in bytes that a file is saved under: no usual
	// file system takes a longer one.
	longestName = 255
)

// A linkShape is an address of a file's bytes that needs no key.
type linkShape struct {
	Object    string `json:"object"`
	FileID    string `json:"file_id"`
	URL       string `json:"url"`
	ExpiresAt int64  `json:"expires_at"`
}

// fileLink answers an address under which whoever has it may read a file for a
// minute: a browser that follows a link sends no key. The address is a secret
// for that long, and is never logged.
func (a *api) fileLink(w http.ResponseWriter, r *http.Request, tenant string) error {
	f, err := a.file(r, tenant)
	if err != nil {
		return err
	}
	if err := readNothing(w, r); err != nil {
		return err
	}
	if a.Presigner == nil {
		return &refusalError{
			status: http.StatusNotImplemented, code: "links_unavailable",
			message: fmt.Sprintf("This deployment makes no links. Read the file with a key: GET /files/%s/content.", f.ID),
		}
	}
	now := a.Clock()
	address, err := a.Presigner.Presign(r.Context(), f.ObjectKey(), batch.Download{Name: safeName(f), Type: contentType(f)}, linkLife)
	if err != nil {
		return fmt.Errorf("api: presign: %w", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, linkShape{
		Object: "file.link", FileID: f.ID, URL: address, ExpiresAt: now.Add(linkLife).Unix(),
	})
	return nil
}

// safeName returns a name to save f under: without a path, a character that is
// none to see, or a dot in front, which hides a file.
func safeName(f batch.File) string {
	name := path.Base(strings.ReplaceAll(strings.ToValidUTF8(f.Name, "_"), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || strings.ContainsRune(`<>:"|?*`, r) {
			return '_'
		}
		return r
	}, name)
	if len(name) > longestName {
		name = strings.ToValidUTF8(name[len(name)-longestName:], "")
	}
	name = strings.TrimLeft(name, ". ")
	if strings.Trim(name, "_/") == "" {
		return f.ID
	}
	return name
}
