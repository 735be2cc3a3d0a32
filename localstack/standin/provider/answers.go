package provider

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

const (
	maxChoices        = 128
	maxInputs         = 2048
	maxDimensions     = 4096
	defaultDimensions = 16

	// excerptRunes is how much of a prompt an answer quotes.
	excerptRunes = 160

	// tokenBytes is how many bytes pass for a token.
	tokenBytes = 4
)

// An inputError says that a body lacks what its endpoint needs.
type inputError struct {
	message, param, code string
}

func (e *inputError) Error() string { return e.message }

func missing(param string) error {
	return &inputError{
		message: fmt.Sprintf("Missing required parameter: '%s'.", param), param: param, code: "missing_required_parameter",
	}
}

func invalid(param, message string) error {
	return &inputError{message: message, param: param, code: "invalid_value"}
}

// A reply is an answer before it is sent.
type reply struct {
	body any

	// pad is the text within body that filler is added to.
	pad *string

	// events returns the answer as a stream. It is nil where the endpoint has none.
	events func() ([]string, error)
}

// compose makes the answer to a request of an endpoint, or an *inputError.
type compose func(r request, id string, created int64) (reply, error)

// bytes returns the answer as JSON, padded to size bytes if it is shorter.
func (r reply) bytes(size int) ([]byte, error) {
	raw, err := json.Marshal(r.body)
	if err != nil || len(raw) >= size {
		return raw, err
	}
	*r.pad += "x" // The first one may bring a member with it.
	if raw, err = json.Marshal(r.body); err != nil || len(raw) >= size {
		return raw, err
	}
	*r.pad += strings.Repeat("x", size-len(raw))
	return json.Marshal(r.body)
}

func composeChat(r request, id string, created int64) (reply, error) {
	if len(r.Messages) == 0 {
		return reply{}, missing("messages")
	}
	if r.N < 0 || r.N > maxChoices {
		return reply{}, invalid("n", fmt.Sprintf("Invalid 'n': must be from 1 to %d.", maxChoices))
	}
	tokens, last := readMessages(r.Messages)
	text := r.Format.write(sentence(last))
	answer := &chatCompletion{
		ID: "chatcmpl-" + id, Object: "chat.completion", Created: created, Model: r.Model,
		Usage: countTokens(tokens, text, max(r.N, 1)),
	}
	texts := make([]string, max(r.N, 1))
	stop := "stop"
	for i := range texts {
		texts[i] = text
		answer.Choices = append(answer.Choices, chatChoice{
			Index: i, Message: &chatMessage{Role: "assistant", Content: &texts[i]}, FinishReason: &stop,
		})
	}
	return reply{body: answer, pad: &texts[0], events: func() ([]string, error) {
		return chatEvents(*answer, r.StreamOptions)
	}}, nil
}

func composeText(r request, id string, created int64) (reply, error) {
	prompts, err := texts("prompt", r.Prompt)
	if err != nil {
		return reply{}, err
	}
	stop := "stop"
	answer := &textCompletion{ID: "cmpl-" + id, Object: "text_completion", Created: created, Model: r.Model, Usage: &usage{}}
	for i, prompt := range prompts {
		text := sentence(prompt)
		answer.Choices = append(answer.Choices, textChoice{Index: i, Text: text, FinishReason: &stop})
		counted := countTokens(tokensOf(prompt), text, 1)
		answer.Usage.PromptTokens += counted.PromptTokens
		answer.Usage.CompletionTokens += counted.CompletionTokens
		answer.Usage.TotalTokens += counted.TotalTokens
	}
	return reply{body: answer, pad: &answer.Choices[0].Text, events: func() ([]string, error) {
		return textEvents(*answer)
	}}, nil
}

func composeResponse(r request, id string, created int64) (reply, error) {
	tokens, last, err := readInput(r.Input)
	if err != nil {
		return reply{}, err
	}
	text := sentence(last)
	counted := countTokens(tokens, text, 1)
	answer := &responseObject{
		ID: "resp_" + id, Object: "response", CreatedAt: created, Status: "completed", Model: r.Model,
		Output: []outputItem{{
			ID: "msg_" + id, Type: "message", Status: "completed", Role: "assistant",
			Content: []outputText{{Type: "output_text", Text: text, Annotations: []struct{}{}}},
		}},
		ParallelToolCalls: true, Temperature: 1, ToolChoice: "auto", Tools: []struct{}{}, TopP: 1,
		Usage: &responseUsage{
			InputTokens: counted.PromptTokens, OutputTokens: counted.CompletionTokens, TotalTokens: counted.TotalTokens,
		},
	}
	return reply{body: answer, pad: &answer.Output[0].Content[0].Text, events: func() ([]string, error) {
		return responseEvents(*answer)
	}}, nil
}

func composeEmbeddings(r request, _ string, _ int64) (reply, error) {
	inputs, err := texts("input", r.Input)
	if err != nil {
		return reply{}, err
	}
	if r.Dimensions < 0 || r.Dimensions > maxDimensions {
		return reply{}, invalid("dimensions", fmt.Sprintf("Invalid 'dimensions': must be from 1 to %d.", maxDimensions))
	}
	dimensions := cmp.Or(r.Dimensions, defaultDimensions)
	answer := &embeddingList{Object: "list", Model: r.Model}
	for i, input := range inputs {
		values := vector(input, dimensions)
		item := embedding{Object: "embedding", Index: i, Embedding: values}
		if r.Encoding == "base64" {
			item.Embedding = encodeVector(values)
		}
		answer.Data = append(answer.Data, item)
		answer.Usage.PromptTokens += tokensOf(input)
	}
	answer.Usage.TotalTokens = answer.Usage.PromptTokens
	return reply{body: answer, pad: &answer.Padding}, nil
}

func composeModeration(r request, id string, _ int64) (reply, error) {
	inputs, err := texts("input", r.Input)
	if err != nil {
		return reply{}, err
	}
	answer := &moderation{ID: "modr-" + id, Model: r.Model}
	for _, input := range inputs {
		answer.Results = append(answer.Results, judge(input))
	}
	return reply{body: answer, pad: &answer.Padding}, nil
}

// judge flags a text under a category that it names.
func judge(input string) moderationResult {
	result := moderationResult{Categories: map[string]bool{}, CategoryScores: map[string]float64{}}
	for _, category := range []string{"harassment", "hate", "self-harm", "sexual", "violence"} {
		named := strings.Contains(strings.ToLower(input), category)
		sum := sha256.Sum256([]byte(category + input))
		score := float64(sum[0]) / 2560 // Below a tenth.
		if named {
			score += 0.9
		}
		result.Flagged = result.Flagged || named
		result.Categories[category] = named
		result.CategoryScores[category] = score
	}
	return result
}

// sentence is what the stand-in has to say to a prompt: always the same to the same.
func sentence(prompt string) string {
	excerpt := []rune(strings.Join(strings.Fields(prompt), " "))
	if len(excerpt) > excerptRunes {
		excerpt = append(excerpt[:excerptRunes], '…')
	}
	sum := sha256.Sum256([]byte(prompt))
	return fmt.Sprintf("You wrote “%s”: %d words with the digest %s.",
		string(excerpt), len(strings.Fields(prompt)), hex.EncodeToString(sum[:4]))
}

// write puts a text into a format: where it has properties, it is each of them that is a string.
func (f *format) write(text string) string {
	if f == nil || len(f.JSON.Schema.Properties) == 0 {
		return text
	}
	object := map[string]string{}
	for name, property := range f.JSON.Schema.Properties {
		if string(property.Type) == `"string"` {
			object[name] = text
		}
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return text // Strings can be marshaled.
	}
	return string(raw)
}

func tokensOf(text string) int { return (len(text) + tokenBytes - 1) / tokenBytes }

func countTokens(prompt int, text string, times int) *usage {
	completion := tokensOf(text) * times
	return &usage{PromptTokens: prompt, CompletionTokens: completion, TotalTokens: prompt + completion}
}

// readMessages returns how many tokens messages have and what the user's last one says.
func readMessages(messages []message) (tokens int, last string) {
	for _, m := range messages {
		text := contentText(m.Content)
		tokens += tokensOf(text)
		if m.Role == "user" {
			last = text
		}
	}
	return tokens, last
}

// contentText returns a message's text: it is a string or a list of parts.
func contentText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var parts []part
	if json.Unmarshal(raw, &parts) != nil {
		return ""
	}
	all := make([]string, 0, len(parts))
	for _, p := range parts {
		if p.Text != "" {
			all = append(all, p.Text)
		}
	}
	return strings.Join(all, " ")
}

// readInput reads the input of the Responses API: a string or a list of messages.
func readInput(raw json.RawMessage) (tokens int, last string, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, "", missing("input")
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return tokensOf(text), text, nil
	}
	var messages []message
	if json.Unmarshal(raw, &messages) != nil {
		return 0, "", invalid("input", "Invalid type for 'input': expected a string or a list of messages.")
	}
	tokens, last = readMessages(messages)
	return tokens, last, nil
}

// texts reads one input or several: strings, or lists of tokens, which stand for themselves.
func texts(param string, raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, missing(param)
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var many []json.RawMessage
	if json.Unmarshal(raw, &many) != nil || len(many) == 0 || len(many) > maxInputs {
		return nil, invalid(param, fmt.Sprintf("Invalid '%s': expected a string or a list of 1 to %d.", param, maxInputs))
	}
	if many[0][0] != '"' && many[0][0] != '[' {
		return []string{string(raw)}, nil
	}
	all := make([]string, len(many))
	for i, item := range many {
		if json.Unmarshal(item, &all[i]) != nil {
			all[i] = string(item)
		}
	}
	return all, nil
}

// vector returns a unit vector that depends on nothing but the text.
func vector(text string, dimensions int) []float32 {
	values := make([]float32, dimensions)
	var square float64
	var block [sha256.Size]byte
	seed := []byte(text)
	for i := range values {
		at := i * 4 % sha256.Size
		if at == 0 {
			block = sha256.Sum256(seed)
			seed = block[:]
		}
		v := float64(binary.BigEndian.Uint32(block[at:at+4]))/math.MaxUint32*2 - 1
		values[i] = float32(v)
		square += v * v
	}
	for i := range values {
		values[i] /= float32(math.Sqrt(square))
	}
	return values
}

// encodeVector returns the vector as OpenAI's base64 does: 32-bit floats, the least significant byte first.
func encodeVector(values []float32) string {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return base64.StdEncoding.EncodeToString(raw)
}
