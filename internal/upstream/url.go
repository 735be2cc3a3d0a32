package upstream

import (
	"net/url"
	"strings"
)

// maxURL is the longest url of a line in bytes. OpenAI's longest is well under a hundred; servers commonly take 8 KB.
const maxURL = 2048

// A base is where a provider's API begins.
type base struct {
	scheme, host string

	// path has no slash at its end, and is empty for a bare origin.
	path string
}

// parseBase reads a route's base URL. It returns a *RouteError, which does not quote it, since a mistaken one may hold a
// password.
func parseBase(raw string) (base, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return base{}, &RouteError{Reason: "its base URL is no URL"}
	case u.Scheme != "http" && u.Scheme != "https":
		return base{}, &RouteError{Reason: "its base URL is neither of http nor of https"}
	case u.User != nil:
		return base{}, &RouteError{Reason: "its base URL carries a user or a password"}
	case strings.ContainsAny(raw, "?#"):
		return base{}, &RouteError{Reason: "its base URL carries a query or a fragment"}
	case u.Hostname() == "":
		return base{}, &RouteError{Reason: "its base URL names no host"}
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if path != "" {
		if reason := badPath(path); reason != "" {
			return base{}, &RouteError{Reason: "its base URL's path " + reason}
		}
	}
	return base{scheme: u.Scheme, host: u.Host, path: path}, nil
}

// join returns where a line's url leads below the base, as the package's documentation draws it.
// A *BuildError says that the url is no plain path: absolute, with a dot segment, an escape or a control character.
func (b base) join(line string) (*url.URL, error) {
	if len(line) > maxURL {
		return nil, &BuildError{Field: "url", Reason: "is too long"}
	}
	path, query, _ := strings.Cut(line, "?")
	if reason := badPath(path); reason != "" {
		return nil, &BuildError{Field: "url", Reason: reason}
	}
	if !plainQuery(query) {
		return nil, &BuildError{Field: "url", Reason: "has a malformed query"}
	}
	if path == "/v1" {
		return nil, &BuildError{Field: "url", Reason: "names no endpoint"}
	}
	if b.path != "" && strings.HasPrefix(path, "/v1/") {
		path = strings.TrimPrefix(path, "/v1")
	}
	return &url.URL{Scheme: b.scheme, Host: b.host, Path: b.path + path, RawQuery: query}, nil
}

// badPath returns what is wrong with an absolute path, or "". Percent escapes are refused as a whole: no known endpoint
// needs one, and each would be a way to write a dot or a slash that the provider's proxy reads differently from us.
func badPath(path string) string {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return "must begin with a slash"
	}
	for segment := range strings.SplitSeq(rest, "/") {
		switch {
		case segment == "":
			return "has an empty segment"
		case segment == ".", segment == "..":
			return "has a dot segment"
		case strings.ContainsFunc(segment, func(r rune) bool { return !inPath(r) }):
			return "has a character that no endpoint's path needs"
		}
	}
	return ""
}

// inPath reports whether a path may hold r: letters, digits, and the marks that stand for themselves everywhere.
func inPath(r rune) bool {
	return alphanumeric(r) || strings.ContainsRune("-._~:@+,=", r)
}

// plainQuery reports whether query is printable ASCII without a fragment and with whole escapes.
func plainQuery(query string) bool {
	if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) {
		return false
	}
	_, err := url.QueryUnescape(query)
	return err == nil
}

func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
