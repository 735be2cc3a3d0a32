package batch

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// MaxEmbeddingInputs is the most inputs of a batch for EndpointEmbeddings, each
// request of which may have many, unless a deployment chooses otherwise: as at
// OpenAI (https://platform.openai.com/docs/guides/batch).
const MaxEmbeddingInputs = 50_000

// Rules are what the lines of an input file are held against. A zero limit stands
// for its default.
type Rules struct {
	// Endpoint is where every request must go; empty: where the first line goes
	// that can be read.
	Endpoint string
	// Extra are endpoints that the deployment takes besides OpenAI's; they matter
	// only where Endpoint is empty.
	Extra []string
	// MaxRequests is the most requests of the file.
	MaxRequests int
	// MaxEmbeddingInputs is the most inputs of a file for EndpointEmbeddings.
	MaxEmbeddingInputs int
	// MaxLineBytes is the longest line, newline excluded, as its LineReader knows it.
	MaxLineBytes int
	// Routed reports whether somebody serves a model; nil: all are served.
	Routed func(model string) bool
	// Whole has a file with MaxErrors bad lines read on, to count the others.
	Whole bool
}

// A digest stands for a custom_id: the first 128 bits of its SHA-256. Two
// different ids of a million share one with a probability below 10^-26, so a
// good file is never refused for it; ids at full length could take 256 MB.
type digest [16]byte

// A Verdict on an input file grows line by line. Whoever loads a batch asks it,
// and so does whoever wants to know before: both find the same.
type Verdict struct {
	rules  Rules
	total  int // requests so far
	inputs int // for embeddings, so far
	seen   map[digest]uint32
	index  Index
	models ModelSet
	errs   []LineError
	more   int // bad lines beyond errs
}

// NewVerdict returns the verdict on a file of which nothing is read.
func NewVerdict(r Rules) *Verdict {
	r.MaxRequests = cmp.Or(r.MaxRequests, MaxRequests)
	r.MaxEmbeddingInputs = cmp.Or(r.MaxEmbeddingInputs, MaxEmbeddingInputs)
	r.MaxLineBytes = cmp.Or(r.MaxLineBytes, MaxLineBytes)
	if r.Routed == nil {
		r.Routed = func(string) bool { return true }
	}
	return &Verdict{rules: r, seen: map[digest]uint32{}}
}

// Read judges the next line. It reports whether there may be more to judge:
// not at the file's end, nor when what comes could add nothing to the verdict.
// Its errors are those of in.
func (v *Verdict) Read(in *LineReader) (more bool, err error) {
	ln, err := in.Next()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return v.Add(ln), nil
}

// Add judges a line that is not blank, as Read does the next one.
func (v *Verdict) Add(ln Line) (more bool) {
	v.total++
	if v.total > v.rules.MaxRequests {
		v.add(LineError{
			Code:    CodeTooManyRequests,
			Message: fmt.Sprintf("The file has more than %d requests. Split it into several batches.", v.rules.MaxRequests),
		})
		return false
	}
	v.judge(ln)
	if v.inputs > v.rules.MaxEmbeddingInputs {
		v.add(LineError{
			Code: CodeTooManyInputs, Line: ln.Number, Param: "body.input",
			Message: fmt.Sprintf("The file has more than %d embedding inputs up to this line. Split it into several batches.",
				v.rules.MaxEmbeddingInputs),
		})
		return false
	}
	return len(v.errs) < MaxErrors || v.rules.Whole
}

func (v *Verdict) judge(ln Line) {
	if ln.TooLong {
		v.add(LineError{
			Code: CodeLineTooLong, Line: ln.Number,
			Message: fmt.Sprintf("Line %d is longer than %d bytes, the most that this deployment takes (maxLineBytes). Shorten it, for "+
				"instance by an image's address in place of its data.", ln.Number, v.rules.MaxLineBytes),
		})
		return
	}
	if v.rules.Endpoint == "" {
		v.findEndpoint(ln)
	}
	input, err := ParseInput(ln.Text, v.rules.Endpoint)
	var bad *LineError
	if errors.As(err, &bad) {
		named := *bad
		named.Line = ln.Number
		v.add(named)
		return
	}
	if !v.models.Has(input.Model) && !v.rules.Routed(input.Model) {
		v.add(LineError{
			Code: CodeModelNotFound, Line: ln.Number, Param: "body.model",
			Message: "This line's model is none that this deployment calls. Name one of those that GET /v1/models lists, " +
				"or ask who runs it to add yours.",
		})
		return
	}
	v.models.Add(input.Model)
	if v.rules.Endpoint == EndpointEmbeddings {
		v.inputs += EmbeddingInputs(input.Body)
	}
	sum := sha256.Sum256([]byte(input.CustomID))
	id := digest(sum[:len(digest{})])
	if first, ok := v.seen[id]; ok {
		v.add(LineError{
			Code: CodeDuplicateCustomID, Line: ln.Number, Param: "custom_id",
			Message: fmt.Sprintf("The custom_id of this line is line %d's already. Each must be unique in its file.", first),
		})
		return
	}
	v.seen[id] = uint32(ln.Number) //nolint:gosec // wraps in a message about a file of 4 billion lines
	v.index.Add(sum, v.total)
}

// findEndpoint takes the endpoint of a line, if it can be read. What is wrong
// with one that cannot be read is so at any endpoint.
func (v *Verdict) findEndpoint(ln Line) {
	if in, err := DecodeInput(ln.Text); err == nil {
		v.rules.Endpoint = FullEndpoint(in.URL, KnownEndpoints(v.rules.Extra))
	}
}

func (v *Verdict) add(e LineError) {
	if len(v.errs) == MaxErrors {
		v.more++
		return
	}
	v.errs = append(v.errs, e)
}

// Errors returns why the file is refused, at most MaxErrors reasons; none if it
// is good.
func (v *Verdict) Errors() []LineError {
	if v.total == 0 {
		return []LineError{{
			Code: CodeEmptyFile, Message: "The input file is empty. Write one request on each line.",
		}}
	}
	return v.errs
}

// More returns how many reasons there are besides those of Errors, in what was
// read.
func (v *Verdict) More() int { return v.more }

// Total returns how many requests were read.
func (v *Verdict) Total() int { return v.total }

// Endpoint returns where the requests go; empty if no line said so.
func (v *Verdict) Endpoint() string { return v.rules.Endpoint }

// Models returns which models the requests name.
func (v *Verdict) Models() ModelSet { return v.models }

// Index returns the index of the requests, as it is stored. It ends the verdict:
// no line may be read after it.
func (v *Verdict) Index() []byte {
	v.seen = nil // its memory may serve the index
	return v.index.Bytes()
}
