package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/musketry/musketry/internal/jsonscan"
)

// The limits of an input file.
const (
	// MaxLineBytes is the longest line, newline excluded, unless a deployment
	// chooses another bound, which is MostLineBytes at most.
	MaxLineBytes  = 32 << 20
	MostLineBytes = 64 << 20
	// MaxCustomID is the longest custom_id in bytes. It lies in the request's
	// item, which stays below one write unit.
	MaxCustomID = 256
	// MaxModel is the longest body.model in bytes. It lies in the request's item
	// once it has failed.
	MaxModel = 256
	// MaxURL is the longest url in bytes, as long as common servers take.
	MaxURL = 2048
	// MaxErrors is how many of a file's bad lines a batch names.
	MaxErrors = 100
)

// The codes of a LineError, OpenAI's where it has one
// (https://platform.openai.com/docs/guides/batch).
const (
	CodeInvalidJSON       = "invalid_json_line"
	CodeMissingParameter  = "missing_required_parameter"
	CodeUnknownParameter  = "unknown_parameter"
	CodeInvalidType       = "invalid_type"
	CodeInvalidValue      = "invalid_value"
	CodeInvalidURL        = "invalid_url"
	CodeInvalidMethod     = "invalid_method"
	CodeInvalidRequest    = "invalid_request"
	CodeDuplicateCustomID = "duplicate_custom_id"
	CodeEmptyFile         = "empty_file"
	CodeTooManyRequests   = "too_many_requests"
	CodeTooManyInputs     = "too_many_inputs"
	CodeLineTooLong       = "line_too_long"
	CodeModelNotFound     = "model_not_found"
	CodeInternal          = "internal_error"
)

// A LineError is one reason why a batch's input was refused.
type LineError struct {
	Code    string
	Line    int    // counted from 1; 0 if the whole file is meant
	Param   string // the offending field; empty if none
	Message string // says how to mend it; never quotes a body
}

func (e *LineError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("batch: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("batch: line %d: %s: %s", e.Line, e.Code, e.Message)
}

// An Input is one line of an input file.
type Input struct {
	CustomID string
	URL      string
	Model    string          // the body's, at most MaxModel bytes; empty if it names none
	Body     json.RawMessage // a JSON object
}

// ParseInput reads a line of an input file whose every request must go to
// endpoint. It returns a *LineError, its Line not set, if the line is not a
// request that can be sent.
func ParseInput(line []byte, endpoint string) (Input, error) {
	in, body, err := decode(line)
	if err != nil {
		return Input{}, err
	}
	if err := in.ResolveURL(endpoint); err != nil {
		return Input{}, err
	}
	if err := checkBody(in, body, endpoint); err != nil {
		return Input{}, err
	}
	return in, nil
}

// ResolveURL has in go to endpoint, whose /v1 a line may leave out. It returns a
// *LineError if the line names another. Validation asks it, and so does whoever
// sends in: the endpoint was checked when the batch was accepted, and the
// provider's key reaches no other path.
func (in *Input) ResolveURL(endpoint string) error {
	if versionPrefix+in.URL == endpoint {
		in.URL = endpoint
	}
	if in.URL != endpoint {
		return &LineError{
			Code: CodeInvalidURL, Param: "url",
			Message: fmt.Sprintf("The URL provided for this request does not match the batch endpoint (%s).", endpoint),
		}
	}
	return nil
}

// DecodeInput reads a line of an input file. It returns a *LineError, its Line
// not set, if the line lacks what every request has. What it takes besides the
// line is small whatever the line has: the result's Body is a part of it.
func DecodeInput(line []byte) (Input, error) {
	in, _, err := decode(line)
	return in, err
}

// A body is what is looked at of a request's.
type body struct{ model, messages, background []byte }

func decode(line []byte) (Input, body, error) {
	in, err := decodeLine(line)
	if err != nil {
		return Input{}, body{}, err
	}
	values, err := jsonscan.Pick(in.Body, "model", "messages", "background")
	if err != nil { // the line that it is a part of was read
		return Input{}, body{}, notRequest(in.Body)
	}
	b := body{model: values[0], messages: values[1], background: values[2]}
	model, ok := jsonscan.Text(b.model, MaxModel)
	switch {
	case !ok && startsWith(b.model, '"'):
		return Input{}, body{}, tooLong("body.model", MaxModel)
	case ok && jsonscan.HalfPair(b.model):
		return Input{}, body{}, halfPair("body.model")
	}
	in.Model = model
	return in, b, nil
}

// decodeLine reads all of a line but what its body says.
func decodeLine(line []byte) (Input, error) {
	values, err := jsonscan.Pick(line, "custom_id", "method", "url", "body")
	if err != nil {
		return Input{}, notRequest(line)
	}
	in := Input{Body: values[3]}
	for i, param := range []string{"custom_id", "method", "url"} {
		if err := needText(param, values[i]); err != nil {
			return Input{}, err
		}
	}
	var idFits, urlFits bool
	in.CustomID, idFits = jsonscan.Text(values[0], MaxCustomID)
	method, _ := jsonscan.Text(values[1], len("POST"))
	in.URL, urlFits = jsonscan.Text(values[2], MaxURL)
	switch {
	case jsonscan.Null(in.Body):
		return Input{}, missing("body")
	case !startsWith(in.Body, '{'):
		return Input{}, wrongType("body", "an object", in.Body)
	case !idFits:
		return Input{}, tooLong("custom_id", MaxCustomID)
	case jsonscan.HalfPair(values[0]):
		return Input{}, halfPair("custom_id")
	case method != "POST":
		return Input{}, &LineError{
			Code: CodeInvalidMethod, Param: "method", Message: "Only the method 'POST' is supported.",
		}
	case !urlFits:
		return Input{}, tooLong("url", MaxURL)
	}
	return in, nil
}

// checkBody holds the endpoint's own demands of a body against it.
func checkBody(in Input, b body, endpoint string) error {
	if endpoint == endpointChat && jsonscan.Null(b.messages) {
		return &LineError{Code: CodeInvalidRequest, Param: "body.messages", Message: "Messages parameter is required."}
	}
	if endpoint == endpointResponses && string(b.background) == "true" {
		return &LineError{Code: CodeInvalidValue, Param: "body.background", Message: "'body.background' may not be true: the answer " +
			"would be a job that is not done yet, which a batch does not ask for. Leave it out: a batch waits for the whole answer."}
	}
	all := endpoints()
	// Moderations, and what a deployment adds, may do without a model.
	if in.Model == "" && endpoint != endpointModerations && slices.Contains(all[:], endpoint) {
		message := "Model parameter is required."
		if !jsonscan.Null(b.model) && !startsWith(b.model, '"') {
			message += fmt.Sprintf(" It must be a string, but got %s instead.", jsonscan.Kind(b.model))
		}
		return &LineError{Code: CodeInvalidRequest, Param: "body.model", Message: message}
	}
	return nil
}

// needText returns an error unless value is a string that is not empty.
func needText(param string, value []byte) error {
	switch {
	case jsonscan.Null(value), string(value) == `""`:
		return missing(param)
	case !startsWith(value, '"'):
		return wrongType(param, "a string", value)
	}
	return nil
}

// notRequest says why a line is no JSON object.
func notRequest(line []byte) *LineError {
	why := Malformed(line)
	if why != "" {
		why = "This line is not parseable as valid JSON. " + why
	} else {
		why = fmt.Sprintf("This line is valid JSON, but %s and no object. Write one request on each line, as an object with the "+
			"members custom_id, method, url and body.", jsonscan.Kind(bytes.TrimSpace(line)))
	}
	return &LineError{Code: CodeInvalidJSON, Message: why}
}

// halfPair refuses a text that would be another one in the result file.
func halfPair(param string) *LineError {
	return &LineError{Code: CodeInvalidValue, Param: param, Message: fmt.Sprintf(
		"'%s' has half of a surrogate pair, such as \\ud83d, and so is no text. Write both halves of the character, or neither.", param)}
}

func tooLong(param string, most int) *LineError {
	return &LineError{
		Code: CodeInvalidValue, Param: param, Message: fmt.Sprintf("'%s' is longer than %d bytes.", param, most),
	}
}

func missing(param string) *LineError {
	return &LineError{
		Code: CodeMissingParameter, Param: param, Message: fmt.Sprintf("Missing required parameter: '%s'.", param),
	}
}

func wrongType(param, want string, got []byte) *LineError {
	return &LineError{Code: CodeInvalidType, Param: param, Message: fmt.Sprintf(
		"Invalid type for '%s': expected %s, but got %s instead.", param, want, jsonscan.Kind(got))}
}

// startsWith reports whether a value without space around it starts with c.
func startsWith(value []byte, c byte) bool { return len(value) > 0 && value[0] == c }

// leastLine is the least number of bytes that a request takes in an input file,
// its newline included: the required names and quotes alone have more.
const leastLine = 50

// MostRequests returns the most requests that an input file of so many bytes
// can have, and most at most.
func MostRequests(bytes int64, most int) int {
	return int(min(bytes/leastLine+1, int64(most)))
}
