package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The limits of an input file.
const (
	// MaxLineBytes is the longest line, newline excluded.
	MaxLineBytes = 10_000_000
	// MaxCustomID is the longest custom_id in bytes. It lies in the request's
	// item, which stays below one write unit.
	MaxCustomID = 256
	// MaxErrors is how many of a file's bad lines a batch names.
	MaxErrors = 100
)

// The codes of a LineError, OpenAI's where it has one
// (https://platform.openai.com/docs/guides/batch).
const (
	CodeInvalidJSON       = "invalid_json_line"
	CodeMissingParameter  = "missing_required_parameter"
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
	Model    string          // the body's; empty if it names none
	Body     json.RawMessage // a JSON object
}

// ParseInput reads a line of an input file whose every request must go to
// endpoint. It returns a *LineError, its Line not set, if the line is not a
// request that can be sent.
func ParseInput(line []byte, endpoint string) (Input, error) {
	in, err := DecodeInput(line)
	if err != nil {
		return Input{}, err
	}
	if err := in.CheckURL(endpoint); err != nil {
		return Input{}, err
	}
	if err := checkBody(in, endpoint); err != nil {
		return Input{}, err
	}

	return in, nil
}

// CheckURL returns a *LineError unless in goes to endpoint. Validation asks it,
// and so does whoever sends in: the endpoint was checked when the batch was
// accepted, and the provider's key reaches no other path.
func (in *Input) CheckURL(endpoint string) error {
	if in.URL != endpoint {
		return &LineError{
			Code: CodeInvalidURL, Param: "url",
			Message: fmt.Sprintf("The URL provided for this request does not match the batch endpoint (%s).", endpoint),
		}
	}

	return nil
}

// DecodeInput reads a line of an input file. It returns a *LineError, its Line
// not set, if the line lacks what every request has.
func DecodeInput(line []byte) (Input, error) {
	if len(line) > MaxLineBytes {
		return Input{}, &LineError{
			Code: CodeLineTooLong, Message: fmt.Sprintf("This line is longer than %d bytes.", MaxLineBytes),
		}
	}
	// A map, since a struct would take "Custom_ID" for "custom_id".
	var fields map[string]json.RawMessage
	if !utf8.Valid(line) || json.Unmarshal(line, &fields) != nil || !startsWith(line, '{') {
		return Input{}, &LineError{Code: CodeInvalidJSON, Message: "This line is not parseable as valid JSON."}
	}
	in := Input{Body: fields["body"]}
	method := ""
	err := errors.Join(
		text(&in.CustomID, "custom_id", fields["custom_id"]),
		text(&method, "method", fields["method"]),
		text(&in.URL, "url", fields["url"]),
	)
	switch {
	case err != nil:
		return Input{}, first(err)
	case absent(in.Body):
		return Input{}, missing("body")
	case !startsWith(in.Body, '{'):
		return Input{}, wrongType("body", "an object")
	case len(in.CustomID) > MaxCustomID:
		return Input{}, &LineError{
			Code: CodeInvalidValue, Param: "custom_id",
			Message: fmt.Sprintf("'custom_id' is longer than %d bytes.", MaxCustomID),
		}
	case method != "POST":
		return Input{}, &LineError{
			Code: CodeInvalidMethod, Param: "method", Message: "Only the method 'POST' is supported.",
		}
	}
	in.Model = modelOf(in.Body)

	return in, nil
}

// checkBody holds the endpoint's own demands of a body against it.
func checkBody(in Input, endpoint string) error {
	var body map[string]json.RawMessage
	_ = json.Unmarshal(in.Body, &body) // a JSON object: DecodeInput has read the whole line
	switch endpoint {
	case "/v1/chat/completions":
		if absent(body["messages"]) {
			return &LineError{Code: CodeInvalidRequest, Param: "body.messages", Message: "Messages parameter is required."}
		}
	case "/v1/responses", "/v1/embeddings", "/v1/completions", "/v1/images/generations", "/v1/images/edits", "/v1/videos":
	default: // moderations, and what a deployment adds, may do without a model
		return nil
	}
	if in.Model == "" {
		return &LineError{Code: CodeInvalidRequest, Param: "body.model", Message: "Model parameter is required."}
	}

	return nil
}

func modelOf(body []byte) string {
	var fields map[string]json.RawMessage
	var model string
	if json.Unmarshal(body, &fields) != nil || json.Unmarshal(fields["model"], &model) != nil {
		return ""
	}

	return model
}

// text reads a required, non-empty string.
func text(dst *string, param string, raw json.RawMessage) error {
	if absent(raw) {
		return missing(param)
	}
	if json.Unmarshal(raw, dst) != nil {
		return wrongType(param, "a string")
	}
	if *dst == "" {
		return missing(param)
	}

	return nil
}

func missing(param string) *LineError {
	return &LineError{
		Code: CodeMissingParameter, Param: param, Message: fmt.Sprintf("Missing required parameter: '%s'.", param),
	}
}

func wrongType(param, want string) *LineError {
	return &LineError{
		Code: CodeInvalidType, Param: param, Message: fmt.Sprintf("Invalid type for '%s': expected %s.", param, want),
	}
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || bytes.Equal(raw, []byte("null")) }

func startsWith(raw []byte, c byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")

	return len(raw) > 0 && raw[0] == c
}

// first returns the first LineError that err joins.
func first(err error) error {
	var line *LineError
	if errors.As(err, &line) {
		return line
	}

	return err
}
