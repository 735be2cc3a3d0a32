package provider

import (
	"encoding/json"
	"strings"
)

// deltaBytes is the longest piece of text that one event brings.
const deltaBytes = 1024

// event writes one server-sent event; an empty name is left out.
func event(name string, data any) (string, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return "", err
	}
	if name != "" {
		name = "event: " + name + "\n"
	}
	return name + "data: " + string(raw) + "\n\n", nil
}

// A stream gathers events; the first failure stays.
type stream struct {
	events []string
	err    error
}

func (s *stream) add(name string, data any) {
	e, err := event(name, data)
	if err != nil {
		s.err = err
		return
	}
	s.events = append(s.events, e)
}

// done ends a stream as completions end.
func (s *stream) done() ([]string, error) {
	return append(s.events, "data: [DONE]\n\n"), s.err
}

// deltas cuts a text into words, and words that are too long into pieces.
func deltas(text string) []string {
	var all []string
	for word := range strings.SplitAfterSeq(text, " ") {
		for len(word) > deltaBytes {
			all, word = append(all, word[:deltaBytes]), word[deltaBytes:]
		}
		all = append(all, word)
	}
	return all
}

// chatEvents returns a chat completion as its chunks.
func chatEvents(whole chatCompletion, options *streamOptions) ([]string, error) {
	var s stream
	chunk := whole
	chunk.Object, chunk.Usage = "chat.completion.chunk", nil
	send := func(c chatChoice) {
		chunk.Choices = []chatChoice{c}
		s.add("", chunk)
	}
	for _, choice := range whole.Choices {
		empty := ""
		send(chatChoice{Index: choice.Index, Delta: &chatMessage{Role: "assistant", Content: &empty}})
		for _, delta := range deltas(*choice.Message.Content) {
			send(chatChoice{Index: choice.Index, Delta: &chatMessage{Content: &delta}})
		}
		send(chatChoice{Index: choice.Index, Delta: &chatMessage{}, FinishReason: choice.FinishReason})
	}
	if options != nil && options.IncludeUsage {
		chunk.Choices, chunk.Usage = []chatChoice{}, whole.Usage
		s.add("", chunk)
	}
	return s.done()
}

// textEvents returns an older completion as its chunks.
func textEvents(whole textCompletion) ([]string, error) {
	var s stream
	chunk := whole
	chunk.Usage = nil
	for _, choice := range whole.Choices {
		pieces := deltas(choice.Text)
		for i, delta := range pieces {
			c := textChoice{Index: choice.Index, Text: delta}
			if i == len(pieces)-1 {
				c.FinishReason = choice.FinishReason
			}
			chunk.Choices = []textChoice{c}
			s.add("", chunk)
		}
	}
	return s.done()
}

// responseEvents returns a response as the events that lead up to it.
func responseEvents(whole responseObject) ([]string, error) {
	var s stream
	number := 0
	send := func(e responseEvent) {
		e.SequenceNumber = number
		number++
		s.add(e.Type, e)
	}
	begun := whole
	begun.Status, begun.Output, begun.Usage = "in_progress", []outputItem{}, nil
	send(responseEvent{Type: "response.created", Response: &begun})
	first := 0
	for _, delta := range deltas(whole.Output[0].Content[0].Text) {
		send(responseEvent{
			Type: "response.output_text.delta", ItemID: whole.Output[0].ID, OutputIndex: &first, ContentIndex: &first,
			Delta: delta,
		})
	}
	send(responseEvent{Type: "response.completed", Response: &whole})
	return s.events, s.err
}
