package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/jsonscan"
)

// maxTemplateBytes is the longest body template.
const maxTemplateBytes = 4 << 20

// makeFlags are what make-batch is told besides the file.
type makeFlags struct {
	limits

	format, delimiter           string
	url, id                     string
	model, system, prompt, body string
	output                      string
	first                       int
}

func (a *app) makeBatchCommand() *cobra.Command {
	var f makeFlags
	cmd := &cobra.Command{
		Use:   "make-batch FILE",
		Short: "Make a file of requests of a table, JSONL or lines of text",
		Long: `Make a file of requests, one of each record of FILE: a row of CSV (its first row
names the columns), an object of JSONL, or a line of text. gzip may have compressed
it; "-" reads standard input.

--prompt and --system, --id, and every text in the file that --body names may have
placeholders:

  {{.name}}   what the record has in the column, or member, of this name;
              {{.a.b}} is member b of member a; a line of text is {{.text}}
  {{.}}       the whole line, of text or JSONL
  {{#}}       the record's number, counted from 1
  {{"{{"}}    two braces

What is put in is text, whatever it holds: it can break neither the JSON nor the
template. A record without such a value is an error, and so are two requests of
one custom_id, or a request that a server would refuse (see "musketry validate"):
then no file is written.`,
		Example: `  musketry make-batch questions.csv --model gpt-4o-mini --prompt 'Classify: {{.text}}' -o requests.jsonl
  musketry make-batch tickets.jsonl --id '{{.ticket.id}}' --model gpt-4o-mini \
      --system 'You are terse.' --prompt '{{.title}}: {{.body}}' -o requests.jsonl
  musketry make-batch words.txt --url /v1/embeddings --model text-embedding-3-small --prompt '{{.}}' -o requests.jsonl
  musketry make-batch rows.csv --body template.json --first 3`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usageError(cmd, errors.New("name one file of records, or - for standard input"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return usageError(cmd, err)
			}
			if a.json && f.output == "-" {
				return usageError(cmd, errors.New("--json describes a file: name it with -o FILE"))
			}
			return a.makeBatch(cmd.Context(), args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "-", "file to write the requests to, whole or not at all; - is standard output")
	flags.StringVar(&f.model, "model", "", "model of every request")
	flags.StringVar(&f.prompt, "prompt", "", "what is asked: the user's message, or the input")
	flags.StringVar(&f.system, "system", "", "the system's message, or the instructions")
	flags.StringVar(&f.body, "body", "", "file with a request's body as JSON, in place of --prompt and --system")
	flags.StringVar(&f.id, "id", "request-{{#}}", "custom_id of a request")
	flags.StringVar(&f.url, "url", "/v1/chat/completions", "path that every request goes to")
	flags.StringVar(&f.format, "format", "", "csv, tsv, jsonl or text (default: what FILE's name ends with, text else)")
	flags.StringVar(&f.delimiter, "delimiter", "", "what separates the columns of CSV (default \",\")")
	flags.IntVar(&f.first, "first", 0, "make requests of the first records alone, so many; 0 is all")
	f.register(flags)
	return cmd
}

func (f *makeFlags) check() error {
	switch {
	case f.body == "" && f.prompt == "":
		return errors.New("what is to be asked? Give --prompt, or --body with a file that holds a request's body")
	case f.body != "" && (f.prompt != "" || f.system != ""):
		return errors.New("--body has all of the body: write what --prompt and --system say into it")
	case f.format != "" && !slices.Contains([]string{formatCSV, formatTSV, formatJSONL, formatText}, f.format):
		return fmt.Errorf("--format: %.32q is none of csv, tsv, jsonl and text", f.format)
	case utf8.RuneCountInString(f.delimiter) > 1 || f.delimiter == "\n" || f.delimiter == "\r" || f.delimiter == `"`:
		return fmt.Errorf("--delimiter: %.32q is not one character that may separate columns", f.delimiter)
	case f.first < 0:
		return errors.New("--first is at least 1, or 0 for all")
	}
	return f.limits.check()
}

// comma returns what separates columns.
func (f *makeFlags) comma(format string) rune {
	if f.delimiter != "" {
		r, _ := utf8.DecodeRuneInString(f.delimiter)
		return r
	}
	if format == formatTSV {
		return '\t'
	}
	return ','
}

// A made is what --json says of a file of requests that was made.
type made struct {
	Object   string `json:"object"`
	File     string `json:"file"`
	Endpoint string `json:"endpoint"`
	Requests int    `json:"requests"`
	Bytes    int64  `json:"bytes"`
}

func (a *app) makeBatch(ctx context.Context, name string, f makeFlags) error {
	m, err := newMaker(f)
	if err != nil {
		return err
	}
	src, err := openSource(ctx, name, a.env.Stdin)
	if err != nil {
		return err
	}
	defer src.close()
	format := f.format
	if format == "" {
		format = formatOf(src.label)
		if name == "-" {
			format = formatText
		}
	}
	rs, err := newRecords(src, format, f.comma(format), m.needs())
	if err != nil {
		return fmt.Errorf("%s: %w", src.name, err)
	}
	fill := func(w io.Writer) error { return m.write(src.name, rs, w) }
	if f.output == "-" {
		if err := fill(a.env.Stdout); err != nil {
			return err
		}
		a.note("%s to %s, %s", number(m.verdict.Total(), "request"), m.verdict.Endpoint(), size(m.bytes))
		return nil
	}
	if err := writeFile(f.output, fill); err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.env.Stdout, made{
			Object: "file_of_requests", File: f.output, Endpoint: m.verdict.Endpoint(), Requests: m.verdict.Total(), Bytes: m.bytes,
		})
	}
	a.note("%s: %s to %s, %s", f.output, number(m.verdict.Total(), "request"), m.verdict.Endpoint(), size(m.bytes))
	a.note("Send it with: musketry submit %s", f.output)
	return nil
}

// A maker makes requests of records.
type maker struct {
	id      pattern
	url     []byte // as JSON
	body    bodyPattern
	first   int
	most    int64 // bytes of the file
	longest int   // bytes of a line

	verdict *batch.Verdict
	bytes   int64
}

func newMaker(f makeFlags) (*maker, error) {
	rules := f.rules(f.url)
	if err := batch.CheckEndpoint(rules.Endpoint, batch.KnownEndpoints(f.extra)); err != nil {
		var order *batch.OrderError
		_ = errors.As(err, &order) // it is nothing else
		return nil, fmt.Errorf("--url: %s", order.Message)
	}
	m := &maker{
		url: jsonscan.AppendQuoted(nil, []byte(rules.Endpoint)), first: f.first, most: f.fileBytes, longest: f.lineBytes,
		verdict: batch.NewVerdict(rules),
	}
	var err error
	if m.id, err = parsePattern(f.id); err != nil {
		return nil, fmt.Errorf("--id: %w", err)
	}
	if f.body == "" {
		m.body, err = promptBody(f, rules.Endpoint)
		return m, err
	}
	text, err := readTemplate(f.body)
	if err == nil {
		text, err = withModel(text, f.model)
	}
	if err == nil {
		m.body, err = parseBody(text)
	}
	if err != nil {
		return nil, fmt.Errorf("--body: %s: %w", f.body, err)
	}
	return m, nil
}

func readTemplate(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxTemplateBytes+1))
	if err == nil && len(text) > maxTemplateBytes {
		err = fmt.Errorf("it has more than %s", size(maxTemplateBytes))
	}
	return text, err
}

// withModel sets a body's model, which it must not name already.
func withModel(text []byte, model string) ([]byte, error) {
	if model == "" {
		return text, nil
	}
	if _, err := parseBody(text); err != nil { // and so it is an object
		return nil, err
	}
	values, err := jsonscan.Pick(bytes.TrimPrefix(text, []byte("\uFEFF")), "model")
	if err != nil {
		return nil, err
	}
	if values[0] != nil {
		return nil, errors.New("it names a model, and --model does too; leave one out")
	}
	_, members, _ := bytes.Cut(text, []byte("{"))
	with := append([]byte(`{"model":`), jsonscan.AppendQuoted(nil, []byte(escapeBraces(model)))...)
	if bytes.HasPrefix(bytes.TrimSpace(members), []byte("}")) {
		return append(with, members...), nil
	}
	return append(append(with, ','), members...), nil
}

// escapeBraces makes a pattern of a text that is none.
func escapeBraces(text string) string {
	return string(bytes.ReplaceAll([]byte(text), []byte("{{"), []byte(`{{"{{"}}`)))
}

// A message is one of a chat.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// promptBody returns the body that an endpoint has of --model, --system and --prompt.
func promptBody(f makeFlags, endpoint string) (bodyPattern, error) {
	body := struct {
		Model        string    `json:"model,omitempty"`
		Messages     []message `json:"messages,omitempty"`
		Instructions string    `json:"instructions,omitempty"`
		Input        string    `json:"input,omitempty"`
		Prompt       string    `json:"prompt,omitempty"`
	}{Model: escapeBraces(f.model)}
	system := false
	switch endpoint {
	case "/v1/chat/completions":
		system = true
		if f.system != "" {
			body.Messages = append(body.Messages, message{Role: "system", Content: f.system})
		}
		body.Messages = append(body.Messages, message{Role: "user", Content: f.prompt})
	case "/v1/responses":
		system = true
		body.Instructions, body.Input = f.system, f.prompt
	case batch.EndpointEmbeddings, "/v1/moderations":
		body.Input = f.prompt
	case "/v1/completions", "/v1/images/generations":
		body.Prompt = f.prompt
	default:
		return nil, fmt.Errorf("--prompt: what a request to %s looks like is not known here; give its body with --body", endpoint)
	}
	if f.system != "" && !system {
		return nil, fmt.Errorf("--system: requests to %s have no place for it; leave it out", endpoint)
	}
	for flag, text := range map[string]string{"--prompt": f.prompt, "--system": f.system} {
		if _, err := parsePattern(text); err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("%s is not UTF-8", flag)
		}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("the body as JSON: %w", err)
	}
	return parseBody(text.Bytes())
}

// needs returns the values that every record must have.
func (m *maker) needs() []string { return slices.Concat(m.id.names(), m.body.names()) }

// write writes a request for each record.
func (m *maker) write(name string, rs records, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var text []byte
	for m.first == 0 || m.verdict.Total() < m.first {
		r, err := rs.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			if text, err = m.line(text[:0], r); err != nil {
				err = fmt.Errorf("line %d: %w", r.line, err)
			}
		}
		if err == nil {
			err = m.judge(text, r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, _ = out.Write(text) // it remembers its error
		_ = out.WriteByte('\n')
	}
	if m.verdict.Total() == 0 {
		return fmt.Errorf("%s has no records; a batch needs at least one request", name)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing requests: %w", err)
	}
	return nil
}

// line appends the request of a record.
func (m *maker) line(dst []byte, r record) ([]byte, error) {
	id, err := m.id.fill(nil, r)
	if err != nil {
		return dst, fmt.Errorf("--id: %w", err)
	}
	dst = append(dst, `{"custom_id":`...)
	dst = jsonscan.AppendQuoted(dst, id)
	dst = append(dst, `,"method":"POST","url":`...)
	dst = append(dst, m.url...)
	dst = append(dst, `,"body":`...)
	if dst, err = m.body.fill(dst, r); err != nil {
		return dst, err
	}
	return append(dst, '}'), nil
}

// judge holds a request against the server's rules.
func (m *maker) judge(text []byte, r record) error {
	m.bytes += int64(len(text)) + 1
	at := m.verdict.Total() + 1
	m.verdict.Add(batch.Line{Text: text, Number: at, TooLong: len(text) > m.longest})
	if errs := m.verdict.Errors(); len(errs) > 0 {
		return fmt.Errorf("line %d: its request, line %d of the file to be, would be refused: %s: %s",
			r.line, at, errs[0].Code, errs[0].Message)
	}
	if m.bytes > m.most {
		return fmt.Errorf("line %d: the file to be has more than %d bytes here; split what it is made of (--max-file-bytes)", r.line, m.most)
	}
	return nil
}
