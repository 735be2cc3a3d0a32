package clients

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
)

// ErrNotPinned reports a client that its file does not pin.
var ErrNotPinned = errors.New("not pinned")

// Version reads which version of the client the checkout pins.
func (c Client) Version(checkout fs.FS) (string, error) {
	text, err := fs.ReadFile(checkout, c.Lock)
	if err != nil {
		return "", err
	}
	if path.Base(c.Lock) == "package-lock.json" {
		return nodeVersion(text, c.Package)
	}
	name := regexp.QuoteMeta(c.Package)
	forms := map[string]string{
		"go.mod":     `(?m)^(?:require)?\s+` + name + ` v(\S+)`,
		"pom.xml":    `<artifactId>` + name + `</artifactId>\s*<version>([^<]+)</version>`,
		"Cargo.lock": `name = "` + name + `"\nversion = "([^"]+)"`,
	}
	form, ok := forms[path.Base(c.Lock)]
	if !ok { // A file of pip's requirements.
		form = `(?m)^` + name + `(?:\[[^\]]*\])?==(\S+)`
	}
	match := regexp.MustCompile(form).FindSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("%s in %s: %w", c.Package, c.Lock, ErrNotPinned)
	}
	return string(match[1]), nil
}

func nodeVersion(lock []byte, name string) (string, error) {
	var file struct {
		Packages map[string]struct {
			Version string `json:"version"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(lock, &file); err != nil {
		return "", err
	}
	version := file.Packages["node_modules/"+name].Version
	if version == "" {
		return "", fmt.Errorf("%s: %w", name, ErrNotPinned)
	}
	return version, nil
}
