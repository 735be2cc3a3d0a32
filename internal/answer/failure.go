package answer

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/musketry/musketry/internal/jsonscan"
)

// maxMessage bounds in bytes what is read of a provider's message.
const maxMessage = 1 << 10

// A failure is the error that an answer carries.
type failure struct {
	found   bool
	listed  bool   // it was read from a list
	code    string // a word, or a number if it has no other
	message string
	status  int // what it means; 0: not known
}

// failure returns the error that an answer carries: its own, one of its choices', or one that it is itself. One beside a
// result is none, unless the answer says that it failed; anyway has one count beside all.
func (m *members) failure(anyway bool) failure {
	failed := anyway || plain(name(m.status)) == "failed" || plain(name(m.class)) == "error" || plain(name(m.kind)) == "error" || m.bare()
	broken := m.broken()
	if !failed && !broken.found && (!some(m.err) || m.brings()) {
		return failure{}
	}
	f := failure{found: true}
	if some(m.err) {
		f.read(m.err)
	}
	if failed || some(m.err) {
		f.readOwn(m)
	}
	if f.status == 0 {
		f.status = broken.status
	}
	f.code, f.message = cmp.Or(f.code, broken.code), cmp.Or(f.message, broken.message)
	return f
}

// readOwn reads what stands beside an error, or in its place.
func (f *failure) readOwn(m *members) {
	if !some(m.err) {
		f.read(m.errors)
	}
	for _, code := range m.codes {
		f.take(code)
	}
	if f.status == 0 && statusOf(codeOf(m.status)) != 0 {
		f.take(m.status)
	}
	f.message = cmp.Or(f.message, firstText(m.messages...))
}

// bare reports whether an answer without a result is itself an error, which servers and gateways write without an `error`
// around it. What an extra endpoint's members mean is not known.
func (m *members) bare() bool {
	says := plain(name(m.status)) == "error" || some(m.errors) || statusOf(codeOf(m.status)) != 0
	for _, code := range m.telling {
		says = says || some(code) && string(code) != "0"
	}
	for _, code := range m.codes {
		says = says || statusOf(codeOf(code)) != 0
	}
	return says && m.lacks() != ""
}

// brings reports whether one of the members that results come in has something in it.
func (m *members) brings() bool {
	return some(m.choices) || some(m.data) || some(m.output) || some(m.results)
}

// broken returns why one of the choices ended with an error.
func (m *members) broken() failure {
	var f failure
	if !bytes.Contains(m.choices, []byte("rror")) && !bytes.Contains(m.choices, []byte("insufficient_system")) {
		return f // The common case, for the price of a search.
	}
	_ = jsonscan.Items(m.choices, func(choice []byte) error { // It was read before.
		c := pickAll(choice, "error", "finish_reason")
		if f.found {
			return nil
		}
		reason := plain(name(c[1]))
		if some(c[0]) && (object(c[0]) || text(c[0])) {
			f.found = true
			f.read(c[0])
		}
		if reason == "error" || statusOf(reason) >= 500 {
			f.found = true
			f.take(c[1])
		}
		return nil
	})
	return f
}

// read reads an error: an object, a message or a number alone, or a list, of which the first counts.
func (f *failure) read(raw []byte) {
	if list(raw) {
		_ = jsonscan.Items(raw, func(item []byte) error { // It was read before.
			if !f.listed {
				f.listed = true
				f.read(item)
			}
			return nil
		})
		return
	}
	if !object(raw) {
		f.message = firstText(raw)
		if f.status = statusOf(f.message); f.status == 0 {
			f.status = leading(f.message)
		}
		if f.message == "" {
			f.take(raw)
		}
		return
	}
	m, err := jsonscan.Pick(raw, "code", "status", "type", "status_code", "http_code", "http_status", "http_status_code", "message", "msg", "detail")
	if err != nil {
		return
	}
	for _, code := range m[:7] {
		f.take(code)
	}
	f.message = firstText(m[7:]...)
}

// leading returns the status that a message begins with, as "503 Service Unavailable" does; 0 if it begins with none.
func leading(message string) int {
	word, _, more := strings.Cut(message, " ")
	if word = strings.TrimSuffix(word, ":"); !more || !digits(word) {
		return 0
	}
	return statusOf(word)
}

// take reads one of an error's codes: the first that is a word is its own, and the first that is known says what it means.
func (f *failure) take(raw []byte) {
	code := codeOf(raw)
	if code == "" || code == "error" {
		return // It names no error.
	}
	if f.code == "" || digits(f.code) && code != "" && !digits(code) {
		f.code = code
	}
	if f.status == 0 {
		f.status = statusOf(code)
	}
}

// codeOf reads a code: a word or a number, without the namespace that AWS writes before it. Any other value, such as the
// address that a problem has for its type, reads as "".
func codeOf(raw []byte) string {
	code := name(raw)
	if code == "" && len(raw) > 0 && len(raw) <= maxName && raw[0] >= '0' && raw[0] <= '9' {
		return string(raw)
	}
	code = code[strings.LastIndexByte(code, '#')+1:]
	if strings.ContainsAny(code, "/:") {
		return ""
	}
	return code
}

func digits(code string) bool { return strings.Trim(code, "0123456789") == "" }

// firstText returns the first of values that is a string with something in it, cut to maxMessage.
func firstText(values ...[]byte) string {
	for _, v := range values {
		if !text(v) {
			continue
		}
		s := string(jsonscan.AppendText(nil, v[:min(len(v), 1<<16)]))
		if s = strings.TrimSpace(s); s != "" {
			return strings.ToValidUTF8(s[:min(len(s), maxMessage)], "")
		}
	}
	return ""
}

// filtered reports whether an answer says that a filter kept it back.
func filtered(body []byte) bool {
	squeezed := bytes.ToLower(bytes.ReplaceAll(body[:min(len(body), 64<<10)], []byte(" "), nil))
	for _, mark := range []string{
		`"filtered":true`, `"content_filter"`, `"content_filter:`, `"blockreason"`, `"block_reason"`, `"prohibited_content"`, `"safety"`,
		`"guardrail_intervened"`, `"sensitive"`, `"recitation"`, `"error_toxic"`,
	} {
		if bytes.Contains(squeezed, []byte(mark)) {
			return true
		}
	}
	return false
}

// TooLarge reports whether a refusal for a rate is for what one request asks: more than the limit allows at all, which no
// wait mends. It says so, or names a limit and a larger number that was requested.
func TooLarge(body []byte) bool {
	words := strings.ToLower(string(body[:min(len(body), 4<<10)]))
	for _, phrase := range []string{
		"request too large", "request_too_large", "request is too large", "too many tokens per request", "larger than the maximum", "exceeds the maximum usage size",
		"request body too large",
	} {
		if strings.Contains(words, phrase) {
			return true
		}
	}
	limit, ok := numberAfter(words, "limit")
	asked, ok1 := numberAfter(words, "requested")
	if !ok1 {
		asked, ok1 = numberAfter(words, "request of")
	}
	return ok && ok1 && asked > limit
}

// numberAfter returns the first number that follows a word with nothing but marks, "of" or "is" in between.
func numberAfter(words, word string) (float64, bool) {
	for rest := words; ; {
		_, after, ok := strings.Cut(rest, word)
		if !ok {
			return 0, false
		}
		rest = after
		digits := strings.TrimLeft(after, " :=\"'*`")
		digits = strings.TrimPrefix(strings.TrimPrefix(digits, "of "), "is ")
		n, seen := 0.0, false
		for _, r := range digits {
			if r == ',' && seen {
				continue
			}
			if r < '0' || r > '9' {
				break
			}
			n, seen = n*10+float64(r-'0'), true
		}
		if seen {
			return n, true
		}
	}
}
