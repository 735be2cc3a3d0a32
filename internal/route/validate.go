package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MaxBytes is the longest JSON of a model, in bytes. An item ends at 400 KB
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html);
// all models are read every few seconds, and by every worker.
const MaxBytes = 32 << 10

// MaxModels is how many models a deployment takes, the first by the alphabet:
// each call looks among them.
const MaxModels = 1000

// The bounds of a model.
const (
	MaxPattern     = 256 // bytes of a pattern, and of a model's name
	MaxRoutes      = 16
	MaxHeaders     = 16
	MaxHeaderBytes = 4 << 10 // of all extra headers of a route
	MaxWeight      = 1000
	MaxLimit       = 1_000_000_000 // of MaxConcurrency, RPM and TPM
	MaxConnect     = time.Minute
	MaxTotal       = 15 * time.Minute // an invocation is no longer
	MinAnswerLimit = 1 << 10
	MaxAnswerLimit = 256 << 20
	MaxBefore      = 7 * 24 * time.Hour // a completion window is no longer
)

// A FieldError says what is wrong with one field of a model, and how to mend it.
type FieldError struct {
	Pattern string // the model's
	Field   string // such as routes[0].base_url
	Wrong   string // what is wrong; quotes no URL, header or key
	Mend    string // what to write
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("model %.80q: %s %s: %s", e.Pattern, e.Field, e.Wrong, e.Mend)
}

// Unwrap returns ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

// Validate returns nil if m can be used, and an error that joins a *FieldError for
// each field that is wrong if not.
func (m Model) Validate() error {
	c := &checker{pattern: m.Pattern}
	c.check(namesModels(m.Pattern), "pattern", "cannot be a model's name",
		fmt.Sprintf("write 1 to %d visible characters without spaces, such as gpt-4o*", MaxPattern))
	c.check(!strings.Contains(m.Pattern, "**"), "pattern", "has two stars side by side", "write one, which stands for any characters")
	c.check(len(m.Routes) >= 1 && len(m.Routes) <= MaxRoutes, "routes", fmt.Sprintf("are %d", len(m.Routes)),
		fmt.Sprintf("write 1 to %d", MaxRoutes))
	if _, err := m.statuses(); err != nil {
		c.add("retryable_statuses", "cannot be read", "write statuses such as 429 and classes such as 5xx")
	}
	c.check(slices.Contains([]string{"", Pause, Fail}, m.SpentQuota), "spent_quota", "is neither pause nor fail", "write one of them")
	if e := m.Escalation; e != nil {
		c.check(namesModels(e.Model) && IsName(e.Model), "escalation.model", "is no model's name", "write one, such as gpt-4o-mini")
		c.check(e.Model != m.Pattern, "escalation.model", "is this model", "write another one's name")
		c.check(e.Before > 0 && e.Before <= MaxBefore, "escalation.before", "is out of bounds",
			fmt.Sprintf("write more than 0s, and at most %v", MaxBefore))
	}
	for i, r := range m.Routes {
		c.route(fmt.Sprintf("routes[%d].", i), r)
		c.check(slices.IndexFunc(m.Routes, func(o Route) bool { return o.Name == r.Name }) == i,
			fmt.Sprintf("routes[%d].name", i), "is another route's too", "name each route of a model differently")
	}
	if data, err := json.Marshal(m); err == nil {
		c.check(len(data) <= MaxBytes, "all fields together", fmt.Sprintf("have %d bytes", len(data)), fmt.Sprintf("write at most %d", MaxBytes))
	}
	return errors.Join(c.errs...)
}

// namesModels reports whether s is a name or a pattern of models. Names of
// providers hold slashes, colons, dots and the like.
func namesModels(s string) bool {
	return s != "" && len(s) <= MaxPattern && visible(s) && !strings.Contains(s, " ")
}

// visible reports whether s is printable ASCII.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// A checker gathers what is wrong with a model.
type checker struct {
	pattern string
	errs    []error
}

func (c *checker) add(field, wrong, mend string) {
	c.errs = append(c.errs, &FieldError{Pattern: c.pattern, Field: field, Wrong: wrong, Mend: mend})
}

func (c *checker) check(ok bool, field, wrong, mend string) {
	if !ok {
		c.add(field, wrong, mend)
	}
}

func (c *checker) route(at string, r Route) {
	c.check(regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`).MatchString(r.Name), at+"name", "is no route's name",
		"write 1 to 64 letters, digits, dots, hyphens and underscores, such as main or eu-west-1")
	if wrong, mend := baseURL(r.BaseURL, r.AllowPrivate); wrong != "" {
		c.add(at+"base_url", wrong, mend)
	}
	c.auth(at+"auth.", r.Auth)
	c.headers(at+"headers", r)
	c.check(r.Model == "" || namesModels(r.Model) && IsName(r.Model), at+"model", "is no model's name",
		"write the name by which the upstream knows the model, or leave it out to send the line's own")
	c.within(at+"weight", int64(r.Weight), 0, MaxWeight)
	c.within(at+"max_concurrency", int64(r.MaxConcurrency), 0, MaxLimit)
	c.within(at+"rpm", int64(r.RPM), 0, MaxLimit)
	c.within(at+"tpm", int64(r.TPM), 0, MaxLimit)
	c.lasts(at+"connect", r.Connect, MaxConnect)
	c.lasts(at+"first_byte", r.FirstByte, MaxTotal)
	c.lasts(at+"total", r.Total, MaxTotal)
	if r.AnswerLimit != 0 {
		c.within(at+"answer_limit", r.AnswerLimit, MinAnswerLimit, MaxAnswerLimit)
	}
}

func (c *checker) within(field string, n, least, most int64) {
	c.check(n >= least && n <= most, field, fmt.Sprintf("is %d", n), fmt.Sprintf("write %d to %d", least, most))
}

func (c *checker) lasts(field string, d, most time.Duration) {
	c.check(d == 0 || d >= time.Millisecond && d <= most, field, fmt.Sprintf("is %v", d),
		fmt.Sprintf("write 1ms to %v, or leave it out", most))
}

func (c *checker) auth(at string, a Auth) {
	switch a.Kind {
	case Bearer, Header:
		if wrong, mend := badKey(a.Key); wrong != "" {
			c.add(at+"key", wrong, mend)
		}
		c.check(a.Service == "" && a.Region == "", at+"service", "is only for sigv4", "leave service and region out")
	case SigV4:
		word := regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
		c.check(word.MatchString(a.Service), at+"service", "is no AWS service", "write what it is signed for, such as bedrock")
		c.check(word.MatchString(a.Region), at+"region", "is no AWS region", "write one such as eu-central-1")
		c.check(a.Key == "", at+"key", "is not for sigv4", "leave it out: calls are signed by the function's role")
	case None:
		c.check(a.Key == "", at+"key", "is not for none", "leave it out, or choose bearer or header")
		c.check(a.Service == "" && a.Region == "", at+"service", "is only for sigv4", "leave service and region out")
	case "":
		c.add(at+"kind", "is missing", "write bearer, header, sigv4, or none where the upstream asks for nothing")
	default:
		c.add(at+"kind", fmt.Sprintf("is %.40q", a.Kind), "write bearer, header, sigv4 or none")
	}
	if a.Kind == Header {
		c.check(isToken(a.Header) && !reserved(a.Header), at+"header", "cannot carry a key", "write one such as api-key or x-api-key")
		return
	}
	c.check(a.Header == "", at+"header", "is only for the kind header", "leave it out")
}

// badKey returns what is wrong with where a key is kept, and how to mend it. It may be
// the key itself, so neither quotes it.
func badKey(where string) (wrong, mend string) {
	const form = "write ssm:NAME (a SecureString of SSM), secretsmanager:NAME, or default (the deployment's own), never the key itself"
	kind, name, _ := strings.Cut(where, ":")
	switch {
	case where == "":
		return "is missing", form
	case where == DefaultKey:
		return "", ""
	case kind != "ssm" && kind != "secretsmanager":
		return "names neither SSM nor Secrets Manager", form
	case strings.HasPrefix(name, "/"):
		return "begins with a slash", "write its name below the deployment's prefix, such as ssm:openai"
	case !regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$`).MatchString(name) || len(name) > 256:
		return "has a name that cannot be one", "write letters, digits, dots, hyphens, underscores and slashes, such as ssm:openai/eu"
	}
	return "", ""
}

func (c *checker) headers(field string, r Route) {
	size := 0
	for name, value := range r.Headers {
		size += len(name) + len(value)
		c.check(isToken(name), field, "have a name that cannot be one", "write names such as openai-organization")
		c.check(!reserved(name) && !strings.EqualFold(name, r.Auth.Header), field,
			"have one that a call sets itself or that carries a key", "leave it out: a key is named by auth")
		c.check(visible(value) && strings.TrimSpace(value) == value, field, "have a value that cannot be one",
			"write printable ASCII without spaces around it")
	}
	c.check(len(r.Headers) <= MaxHeaders && size <= MaxHeaderBytes, field, fmt.Sprintf("are %d with %d bytes", len(r.Headers), size),
		fmt.Sprintf("write at most %d with %d bytes together", MaxHeaders, MaxHeaderBytes))
}

// isToken reports whether s can be a header's name
// (https://www.rfc-editor.org/rfc/rfc9110#name-tokens).
func isToken(s string) bool {
	return len(s) <= 128 && regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$").MatchString(s)
}

// reserved reports whether a header is the client's own, the connection's or a
// place for secrets.
func reserved(name string) bool {
	return slices.Contains([]string{
		"authorization", "proxy-authorization", "cookie", "host", "content-type", "content-length", "content-encoding",
		"accept-encoding", "transfer-encoding", "te", "trailer", "connection", "keep-alive", "proxy-connection", "upgrade",
		"expect", "idempotency-key", "traceparent", "tracestate",
		"x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
	}, strings.ToLower(name))
}

// CheckBaseURL returns nil if calls can go below raw. Private says that http and
// private addresses are allowed. The error does not quote raw.
func CheckBaseURL(raw string, private bool) error {
	if wrong, mend := baseURL(raw, private); wrong != "" {
		return fmt.Errorf("%w: the base URL %s: %s", ErrInvalid, wrong, mend)
	}
	return nil
}

func baseURL(raw string, private bool) (wrong, mend string) {
	const form = "write one such as https://api.openai.com/v1"
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "is missing", form
	case err != nil || len(raw) > 1024:
		return "is no URL", form
	case u.Scheme != "https" && u.Scheme != "http":
		return "has another scheme than https", form
	case u.User != nil:
		return "has a user or a password", "leave them out: a key is named by auth"
	case strings.ContainsAny(raw, "?#"):
		return "has a query or a fragment", "leave it out"
	case u.Hostname() == "":
		return "names no host", form
	case u.Scheme == "http" && !private:
		return "begins with http, so that a key and prompts would travel in the clear",
			"write https, or set allow_private for an upstream of your own network"
	case !regexp.MustCompile(`^(/[A-Za-z0-9_~:@+,=.-]+)*/?$`).MatchString(u.EscapedPath()) ||
		slices.ContainsFunc(strings.Split(u.EscapedPath(), "/"), func(s string) bool { return s == "." || s == ".." }):
		return "has a path that no API has", form
	}
	return "", ""
}
