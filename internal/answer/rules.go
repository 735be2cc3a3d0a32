package answer

import (
	"bytes"
	"net/http"

	"github.com/musketry/musketry/internal/state"
)

// An Answer is what came with a status that is no redirect and no refusal, or with any other.
type Answer struct {
	Kind        Kind
	Status      int    // HTTP's
	ContentType string // the header
	Body        []byte // decompressed; of a stream the one object that it stands for
}

// A Sense is what an answer is.
type Sense int

// The senses.
const (
	Usable  Sense = iota // a result
	Refused              // an error, which means a status
	Invalid              // no answer at all: it was paid for, so it is tried again a few times
	Held                 // an empty answer that names a filter: another try would bring the same
)

// A Verdict is what an answer means. Its zero value is that of a result.
type Verdict struct {
	Sense Sense

	// Status is what an error means as a status; of Refused alone.
	Status int

	// Code and Message are the provider's own words, of an error: "" where it has none, at most 256 and 1,024 bytes.
	Code, Message string

	// Why says in a fixed phrase why there is no answer; of Invalid and Held alone.
	Why string
}

// A Rule says what an answer is that nothing before it in [Rules] applies to.
type Rule struct {
	When  string // the answer, in words
	Is    string // what it is, in words
	judge func(a Answer, m *members) (Verdict, bool)
}

// Rules returns the table by which answers are judged: the first that applies decides, and an answer to which none applies
// is a result.
func Rules() []Rule {
	return []Rule{
		{"a status of 300 or more", "what its status says", byStatus},
		{"a status of 202, 204 or 205", "none", notYet},
		{"nothing, or nothing but space", "none", blankBody},
		{"no JSON where JSON is due, such as a page of a gateway, JSON that is cut off, or `NaN` in it", "none", noJSON},
		{"a text of an extra endpoint, or a stream that is not of text", "a result", otherText},
		{"an error in place of a result, or a choice that ended with one, whose code is known", "what its code means as a status", knownError},
		{"any other error in place of a result", "none", otherError},
		{"`status` is `queued` or `in_progress`, or it is a job of an extra endpoint that has only begun", "none", unfinished},
		{"nothing in it, and it names a filter", "none, and not tried again", heldBack},
		{"nothing in it: the endpoint's own table says what that is", "none", empty},
	}
}

// A Reading is what an answer says.
type Reading struct {
	Verdict Verdict // by the rules
	JSON    bool    // the body is one JSON value in valid UTF-8

	// Model is the body's `model`, the name of the model that answered: "" where that is absent, not a string or longer than
	// 256 bytes.
	Model string

	// Tokens are those that the answer says it took, the body's `usage` as chat completions, completions and embeddings
	// (`prompt_tokens`) or responses (`input_tokens`) spell it. What is absent, no whole number, negative or above
	// 1,000,000,000 counts as 0; a total that is missing is the sum of the two.
	Tokens state.Tokens
}

// Read reads an answer. The result does not hold on to its body.
func Read(a Answer) Reading {
	m := read(a.Body, a.Kind)
	return Reading{Verdict: judge(a, m), JSON: m.json, Model: name(m.model), Tokens: tokens(m.usage)}
}

// judge returns what an answer is.
func judge(a Answer, m *members) Verdict {
	for _, r := range Rules() {
		if v, ok := r.judge(a, m); ok {
			return v
		}
	}
	return Verdict{}
}

func byStatus(a Answer, m *members) (Verdict, bool) {
	if a.Status < http.StatusMultipleChoices {
		return Verdict{}, false
	}
	f := m.failure(true)
	return Verdict{Sense: Refused, Status: a.Status, Code: f.code, Message: f.message}, true
}

func notYet(a Answer, _ *members) (Verdict, bool) {
	switch a.Status {
	case http.StatusAccepted:
		return invalid("its status says that it is not done yet"), true
	case http.StatusNoContent, http.StatusResetContent:
		return invalid("its status says that there is none"), true
	}
	return Verdict{}, false
}

func blankBody(a Answer, _ *members) (Verdict, bool) {
	return invalid("it is empty"), len(bytes.TrimSpace(a.Body)) == 0
}

func noJSON(a Answer, m *members) (Verdict, bool) {
	if m.json || !a.Kind.wantsJSON(a.ContentType) {
		return Verdict{}, false
	}
	return invalid(notJSON(bytes.TrimSpace(a.Body))), true
}

// notJSON says what a text is instead.
func notJSON(body []byte) string {
	switch {
	case body[0] == '<':
		return "it is a page, not JSON"
	case body[0] != '{' && body[0] != '[':
		return "it is not JSON"
	case bytes.Contains(body, []byte("NaN")) || bytes.Contains(body, []byte("Infinity")):
		return "it is not JSON: it holds NaN or Infinity, or is cut off"
	}
	return "it is not JSON, or JSON that is cut off"
}

func otherText(_ Answer, m *members) (Verdict, bool) { return Verdict{}, !m.json }

func knownError(_ Answer, m *members) (Verdict, bool) {
	f := m.fails()
	return Verdict{Sense: Refused, Status: f.status, Code: f.code, Message: f.message}, f.found && f.status != 0
}

func otherError(_ Answer, m *members) (Verdict, bool) {
	f := m.fails()
	v := invalid("it is an error whose code says nothing")
	v.Code, v.Message = f.code, f.message
	return v, f.found
}

func unfinished(a Answer, m *members) (Verdict, bool) {
	v := invalid("its `status` says that it is not done yet")
	switch plain(name(m.status)) {
	case "queued", "in_queue", "in_progress":
		return v, true
	}
	return v, a.Kind == Extra && a.Kind.wantsJSON(a.ContentType) && m.begun(a.Body)
}

func heldBack(a Answer, m *members) (Verdict, bool) {
	why := m.lacks()
	if why == "" || !filtered(a.Body) {
		return Verdict{}, false
	}
	return Verdict{Sense: Held, Why: why + ", and names a filter"}, true
}

func empty(_ Answer, m *members) (Verdict, bool) {
	why := m.lacks()
	return invalid(why), why != ""
}

func invalid(why string) Verdict { return Verdict{Sense: Invalid, Why: why} }
