package api

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/jsonscan"
)

// maxJSON is the largest JSON body: a batch's, with all its metadata escaped,
// has below 100 KB; an upload's completion names up to 10,000 parts.
const maxJSON = 1 << 20

// fields are a JSON object's, as it came, to be read one by one, so that an
// error names the one at fault. Nil is an object without fields.
type fields []byte

// value returns what the field called name holds; nil if it was left out.
func (f fields) value(name string) []byte {
	values, err := jsonscan.Pick(f, name)
	if err != nil { // nil: a body was found to be an object
		return nil
	}
	return values[0]
}

// readFields reads r's body, which must be a JSON object with fields of these
// names only.
func readFields(w http.ResponseWriter, r *http.Request, names ...string) (fields, error) {
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	f, err := asFields(r, body)
	if err != nil {
		return nil, err
	}
	return f, f.only("", names...)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJSON))
	if tooLarge(err) {
		return nil, &refusalError{
			status: http.StatusRequestEntityTooLarge, code: "request_too_large",
			message: fmt.Sprintf("The request body is larger than %d bytes.", maxJSON),
		}
	}
	if err != nil {
		return nil, brokenBody()
	}
	return body, nil
}

// asFields returns the fields of r's body, which must be a JSON object.
func asFields(r *http.Request, body []byte) (fields, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, unsupported(r, "application/json")
	}
	if _, err := jsonscan.Pick(body); err != nil {
		return nil, badRequest("", "invalid_json", "The body of your request is not a JSON object.")
	}
	return body, nil
}

func unsupported(r *http.Request, want string) error {
	return &refusalError{
		status: http.StatusUnsupportedMediaType, code: "unsupported_content_type",
		message: fmt.Sprintf("Unsupported Content-Type '%s': this endpoint takes %s.", clip(r.Header.Get("Content-Type")), want),
	}
}

func brokenBody() error {
	return badRequest("", "invalid_body", "The body of your request broke off.")
}

// absent reports whether name was left out; a null counts as left out.
func (f fields) absent(name string) bool {
	return jsonscan.Null(f.value(name))
}

// text reads a string that must be there and not be empty.
func (f fields) text(name string) (string, error) {
	if f.absent(name) {
		return "", missing(name)
	}
	s, err := textOf(name, f.value(name))
	if err == nil && s == "" {
		return "", badRequest(name, batch.CodeInvalidValue, "Invalid '%s': expected a string that is not empty.", name)
	}
	return s, err
}

func textOf(param string, raw json.RawMessage) (string, error) {
	var s string
	switch {
	case jsonscan.Kind(raw) != "a string" || json.Unmarshal(raw, &s) != nil:
		return "", wrongType(param, "a string", raw)
	case jsonscan.HalfPair(raw): // stored, it would become another text
		return "", badRequest(param, batch.CodeInvalidValue,
			"Invalid '%s': it has half of a surrogate pair, such as \\ud83d. Send both halves of the character, or neither.", param)
	}
	return s, nil
}

// whole reads an integer that must be there.
func (f fields) whole(name, param string) (int64, error) {
	if f.absent(name) {
		return 0, missing(param)
	}
	raw := f.value(name)
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0, wrongType(param, "an integer", raw)
	}
	return n, nil
}

// object reads an object that may be left out; nil then.
func (f fields) object(name string) (fields, error) {
	inner := f.value(name)
	switch {
	case jsonscan.Null(inner):
		return nil, nil
	case jsonscan.Kind(inner) != "an object":
		return nil, wrongType(name, "an object", inner)
	}
	return inner, nil
}

// metadata reads an object of strings that may be left out.
func (f fields) metadata(name string) (map[string]string, error) {
	inner, err := f.object(name)
	if err != nil || inner == nil {
		return nil, err
	}
	var pairs map[string]string
	err = jsonscan.Members(inner, func(key, raw []byte) error {
		k, err := textOf(name, key)
		if err != nil {
			return err
		}
		if pairs == nil {
			pairs = map[string]string{}
		}
		pairs[k], err = textOf(name+"."+clip(k), raw)
		return err
	})
	if err != nil {
		return nil, err
	}
	return pairs, nil
}

// texts reads an array of strings that must be there.
func (f fields) texts(name string) ([]string, error) {
	if f.absent(name) {
		return nil, missing(name)
	}
	raw := f.value(name)
	if jsonscan.Kind(raw) != "an array" {
		return nil, wrongType(name, "an array", raw)
	}
	list := []string{}
	err := jsonscan.Items(raw, func(value []byte) error {
		s, err := textOf(fmt.Sprintf("%s[%d]", name, len(list)), value)
		list = append(list, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// life reads {"anchor":"created_at","seconds":n}; 0 if it was left out.
func (f fields) life(name string) (time.Duration, error) {
	inner, err := f.object(name)
	if err != nil || inner == nil {
		return 0, err
	}
	if err := inner.only(name+".", "anchor", "seconds"); err != nil {
		return 0, err
	}
	if inner.absent("anchor") {
		return 0, missing(name + ".anchor")
	}
	anchor, err := textOf(name+".anchor", inner.value("anchor"))
	if err != nil {
		return 0, err
	}
	seconds, err := inner.whole("seconds", name+".seconds")
	if err != nil {
		return 0, err
	}
	return lifeOf(anchor, seconds, name+".anchor", name+".seconds")
}

// lifeOf checks a life against OpenAI's bounds.
func lifeOf(anchor string, seconds int64, anchorParam, secondsParam string) (time.Duration, error) {
	const lowest, highest = int64(batch.MinFileLife / time.Second), int64(batch.MaxFileLife / time.Second)
	switch {
	case anchor != "created_at":
		return 0, badRequest(anchorParam, batch.CodeInvalidValue,
			"Invalid value: '%s'. Supported values are: 'created_at'.", clip(anchor))
	case seconds < lowest:
		return 0, badRequest(secondsParam, "integer_below_min_value",
			"Invalid '%s': integer below minimum value. Expected a value >= %d, but got %d instead.",
			secondsParam, lowest, seconds)
	case seconds > highest:
		return 0, badRequest(secondsParam, "integer_above_max_value",
			"Invalid '%s': integer above maximum value. Expected a value <= %d, but got %d instead.",
			secondsParam, highest, seconds)
	}
	return time.Duration(seconds) * time.Second, nil
}

func wrongType(param, want string, got json.RawMessage) error {
	return badRequest(param, batch.CodeInvalidType,
		"Invalid type for '%s': expected %s, but got %s instead.", param, want, jsonscan.Kind(got))
}

// A page is what a list's query asks for.
type page struct {
	After  string
	Limit  int
	Oldest bool
}

// readPage reads after, limit (from 1 to most) and, where ordered, order.
func readPage(q url.Values, prefix string, fallback, most int, ordered bool) (page, error) {
	p := page{After: q.Get("after"), Limit: fallback}
	if _, ok := batch.ParseID(prefix, p.After); p.After != "" && !ok {
		return page{}, badRequest("after", batch.CodeInvalidValue,
			"Invalid 'after': '%s' is not the id of an object of this list.", clip(p.After))
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		switch {
		case err != nil:
			return page{}, badRequest("limit", batch.CodeInvalidType,
				"Invalid type for 'limit': expected an integer, but got '%s' instead.", clip(text))
		case n < 1:
			return page{}, badRequest("limit", "integer_below_min_value",
				"Invalid 'limit': integer below minimum value. Expected a value >= 1, but got %d instead.", n)
		case n > int64(most):
			return page{}, badRequest("limit", "integer_above_max_value",
				"Invalid 'limit': integer above maximum value. Expected a value <= %d, but got %d instead.", most, n)
		}
		p.Limit = int(n)
	}
	switch order := q.Get("order"); {
	case !ordered || order == "" || order == "desc":
	case order == "asc":
		p.Oldest = true
	default:
		return page{}, badRequest("order", batch.CodeInvalidValue,
			"Invalid value: '%s'. Supported values are: 'asc' and 'desc'.", clip(order))
	}
	return p, nil
}

// query returns r's query, or a 400 if it cannot be read.
func query(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("", "invalid_query", "The query of your request cannot be read: %s.", "it is not URL-encoded")
	}
	return q, nil
}

func quoted(values []string) string { return "'" + strings.Join(values, "', '") + "'" }
