package answer

import (
	"bytes"
	"mime"
	"strings"

	"github.com/musketry/musketry/internal/jsonscan"
)

// A Kind is what an endpoint answers with.
type Kind string

// The kinds.
const (
	Chat        Kind = "chat completions"
	Completions Kind = "completions"
	Responses   Kind = "responses"
	Embeddings  Kind = "embeddings"
	Moderations Kind = "moderations"
	Images      Kind = "images"
	Extra       Kind = "extra" // an endpoint that is not OpenAI's: its Content-Type says what is due
)

// KindOf returns the kind of the endpoint that a path leads to, whatever stands before it.
func KindOf(path string) Kind {
	for _, k := range []struct {
		end  string
		kind Kind
	}{
		{"/chat/completions", Chat},
		{"/completions", Completions},
		{"/responses", Responses},
		{"/embeddings", Embeddings},
		{"/moderations", Moderations},
		{"/images/generations", Images},
		{"/images/edits", Images},
	} {
		if strings.HasSuffix(path, k.end) {
			return k.kind
		}
	}
	return Extra
}

// Streams reports whether a stream of the kind can be put together.
func (k Kind) Streams() bool { return k == Chat || k == Completions || k == Responses }

// IsStream reports whether a Content-Type is that of an event stream.
func IsStream(contentType string) bool { return mediaType(contentType) == "text/event-stream" }

// LooksStreamed reports whether an answer is an event stream that does not say so.
func LooksStreamed(body []byte) bool {
	for _, field := range []string{"data:", "event:", ":", "id:", "retry:"} {
		if bytes.HasPrefix(bytes.TrimLeft(body, "\r\n"), []byte(field)) {
			return true
		}
	}
	return false
}

// wantsJSON reports whether an answer of the kind has to be JSON.
func (k Kind) wantsJSON(contentType string) bool {
	media := mediaType(contentType)
	if k == Extra {
		return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
	}
	return media != "text/event-stream" || k.Streams()
}

// mediaType returns what a Content-Type says before its parameters.
func mediaType(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(contentType, ";")
	}
	return strings.ToLower(strings.TrimSpace(media))
}

// lacks returns what of a result an answer of the kind lacks; "" if it has one.
func (k Kind) lacks(m *members) string {
	switch k {
	case Chat, Completions:
		return noChoice(k, m.choices)
	case Responses:
		return noOutput(m)
	case Embeddings:
		return noItems("data", m.data, "embedding")
	case Moderations:
		return noItems("results", m.results)
	case Images:
		return noItems("data", m.data, "b64_json", "url")
	case Extra:
	}
	return ""
}

// begun reports whether an answer is a job that has no results yet: it has an id, a status that says so, and nothing that
// results come in. Many results have a status too.
func (m *members) begun(body []byte) bool {
	if awaited(m.status) && !m.brings() {
		for _, id := range pickAll(body, "id", "task_id", "job_id", "request_id") {
			if some(id) {
				return true
			}
		}
	}
	task := pickAll(m.output, "task_status", "task_id") // Alibaba's.
	return awaited(task[0]) && some(task[1])
}

// awaited reports whether a job's status says that it has not ended.
func awaited(status []byte) bool {
	switch plain(name(status)) {
	case "pending", "processing", "starting", "running":
		return true
	}
	return false
}

// noItems returns what a list of results lacks, each of which has to have one of some members.
func noItems(where string, raw []byte, one ...string) string {
	if !list(raw) {
		return "it has no `" + where + "`"
	}
	lacks := ""
	_ = jsonscan.Items(raw, func(item []byte) error { // It was read before.
		values, err := jsonscan.Pick(item, one...)
		has := err == nil && len(one) == 0
		for _, v := range values {
			has = has || some(v)
		}
		if !has {
			lacks = "a part of its `" + where + "` is empty"
		}
		return nil
	})
	return lacks
}

// noOutput returns what an answer of the Responses API lacks. One that is incomplete may have no output, and says why.
func noOutput(m *members) string {
	switch status := plain(name(m.status)); {
	case status == "incomplete" && m.output != nil, status == "incomplete" && m.incomplete != nil:
		return ""
	case status != "" && status != "completed" && status != "incomplete":
		return "its `status` says that it is not complete"
	case !list(m.output):
		return "it has no `output`"
	}
	return ""
}

// noChoice returns what the choices of a completion lack.
func noChoice(k Kind, choices []byte) string {
	if !list(choices) {
		return "it has no `choices`"
	}
	lacks := ""
	_ = jsonscan.Items(choices, func(choice []byte) error { // It was read before.
		if lacks == "" {
			lacks = emptyChoice(k, choice)
		}
		return nil
	})
	return lacks
}

// emptyChoice returns what a choice lacks. An empty text is one that the model gave, and nothing at all is right where the
// reason to finish says why.
func emptyChoice(k Kind, choice []byte) string {
	m, err := jsonscan.Pick(choice, "message", "text", "finish_reason")
	if err != nil {
		return "a choice is no object"
	}
	reason := plain(name(m[2]))
	switch {
	case interrupted(reason):
		return "a choice was broken off"
	case k == Chat && strings.Contains(reason, "malformed") && !speaks(m[0], some):
		return "a choice is empty, since its call was malformed"
	case k == Completions && text(m[1]), speaks(m[0], text), explains(reason):
		return ""
	case !object(m[0]) && k == Chat:
		return "a choice has no message"
	}
	return "a choice is empty, and does not say why"
}

// speaks reports whether a message says something: it has content for which says holds, or whatever else besides its role.
func speaks(message []byte, says func([]byte) bool) bool {
	found := false
	_ = jsonscan.Members(message, func(key, value []byte) error { // It was read before.
		switch string(key) {
		case `"role"`, `"name"`, `"index"`:
		case `"content"`:
			found = found || says(value) || some(value)
		default:
			found = found || some(value)
		}
		return nil
	})
	return found
}

// interrupted reports whether a choice's reason to finish is that the provider could not go on.
func interrupted(reason string) bool {
	switch reason {
	case "error", "abort", "aborted", "cancelled", "canceled", "network_error", "timeout", "insufficient_system_resource":
		return true
	}
	return false
}

// explains reports whether a choice's reason to finish says why it is empty: a limit of its length, or a filter.
func explains(reason string) bool {
	for _, word := range []string{
		"length", "max_tokens", "context_window", "filter", "safety", "sensitive", "recitation", "prohibited", "block", "refus", "guardrail",
		"moderation", "spii", "toxic",
	} {
		if strings.Contains(reason, word) {
			return true
		}
	}
	return false
}
