package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/musketry/musketry/internal/batch"
)

// groupFiles is the group of the commands that work on files of requests.
const groupFiles = "files-of-requests"

// limits are what a deployment holds files of requests to.
type limits struct {
	requests, inputs, lineBytes int
	fileBytes                   int64
	extra                       []string
}

// register adds the flags of l, whose defaults are the server's.
func (l *limits) register(flags *pflag.FlagSet) {
	flags.IntVar(&l.requests, "max-requests", batch.MaxRequests, "requests that a batch may have (the deployment's maxRequests)")
	flags.IntVar(&l.inputs, "max-inputs", batch.MaxEmbeddingInputs, "inputs that a batch for /v1/embeddings may have (maxEmbeddingInputs)")
	flags.IntVar(&l.lineBytes, "max-line-bytes", batch.MaxLineBytes, "bytes that a line may have (maxLineBytes)")
	flags.Int64Var(&l.fileBytes, "max-file-bytes", batch.MaxInputBytes, "bytes that a file may have, unpacked (maxInputBytes)")
	flags.StringArrayVar(&l.extra, "extra-endpoint", nil, "path that the deployment takes besides OpenAI's (extraEndpoints); may be repeated")
}

func (l *limits) check() error {
	switch {
	case l.requests < 1 || l.inputs < 1 || l.fileBytes < 1:
		return errors.New("--max-requests, --max-inputs and --max-file-bytes are at least 1")
	case l.lineBytes < 1 || l.lineBytes > batch.MostLineBytes:
		return fmt.Errorf("--max-line-bytes is from 1 to %d, the most that any deployment takes", batch.MostLineBytes)
	}
	return nil
}

// rules returns those of a file whose requests go to an endpoint; empty: where the first goes.
func (l *limits) rules(endpoint string) batch.Rules {
	if endpoint != "" {
		endpoint = batch.FullEndpoint(endpoint, batch.KnownEndpoints(l.extra))
	}
	return batch.Rules{
		Endpoint: endpoint, Extra: l.extra, MaxRequests: l.requests, MaxEmbeddingInputs: l.inputs, MaxLineBytes: l.lineBytes, Whole: true,
	}
}

func (a *app) validateCommand() *cobra.Command {
	var l limits
	endpoint := ""
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Say what a server would refuse of a file of requests, offline",
		Long: `Say what a server would refuse of a file of requests, by its own rules and code,
without sending anything. FILE is JSONL, which gzip may have compressed; "-"
reads standard input.

Every bad line is named with its number, the error's code and how to mend it: the
first 100, which are those that a refused batch names too, and how many more
there are. The exit code is 1 if there is one.

The limits are the server's defaults; a deployment may have others. Which models
it calls, and how much a tenant may have, only the server knows.`,
		Example: `  musketry validate requests.jsonl
  musketry validate requests.jsonl.gz --max-requests 1000000
  generate-requests | musketry validate - --json | jq -r '.errors.data[].line'`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.check(); err != nil {
				return usageError(cmd, err)
			}
			return a.validate(cmd.Context(), args[0], l.rules(endpoint), l.fileBytes)
		},
	}
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "path that every request must go to (default: the first line's url)")
	l.register(cmd.Flags())
	return cmd
}

// oneFile accepts exactly one argument, a file's name.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usageError(cmd, errors.New("name one file of requests, or - for standard input"))
	}
	return nil
}

func (a *app) validate(ctx context.Context, name string, rules batch.Rules, most int64) error {
	src, err := openSource(ctx, name, a.env.Stdin)
	if err != nil {
		return err
	}
	defer src.close()
	f, err := judgeFile(src, rules, most, nil)
	if err != nil {
		return err
	}
	if err := a.tellFindings(src, f); err != nil {
		return err
	}
	if len(f.errs) > 0 {
		return &outcomeError{code: ExitError}
	}
	return nil
}

func (a *app) tellFindings(src *source, f *findings) error {
	if a.json {
		return writeJSON(a.env.Stdout, f.shape(src.name))
	}
	if len(f.errs) == 0 {
		return write(a.env.Stdout, fmt.Sprintf("%s is good: %s to %s, %s%s\n",
			src.name, number(f.requests, "request"), f.endpoint, size(f.bytes), f.modelWords()))
	}
	var text strings.Builder
	for _, e := range f.errs {
		text.WriteString(problemAt(src.name, e) + "\n")
	}
	if err := write(a.env.Stdout, text.String()); err != nil {
		return err
	}
	if f.more > 0 {
		a.note("and %s", number(f.more, "more error"))
	}
	a.note("%s would be refused: %s. Mend it before you submit it.", src.name, number(len(f.errs)+f.more, "error"))
	return nil
}

// problemAt names a reason by its file and line, as compilers do.
func problemAt(name string, e batch.LineError) string {
	at := name
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d", name, e.Line)
	}
	if e.Param != "" {
		return fmt.Sprintf("%s: %s (%s): %s", at, e.Code, e.Param, e.Message)
	}
	return fmt.Sprintf("%s: %s: %s", at, e.Code, e.Message)
}

// A source is a file that is read once, from its start to its end. It must be closed.
type source struct {
	io.Reader

	name   string // what the user called it
	label  string // the name that a server would be told
	closer io.Closer
}

// openSource opens a file; "-" is standard input. It stops when ctx is done.
func openSource(ctx context.Context, name string, stdin io.Reader) (*source, error) {
	if name == "-" {
		return &source{Reader: &stopReader{ctx: ctx, r: stdin}, name: "standard input", label: "stdin.jsonl"}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory; name a file of requests in it", name)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &source{Reader: &endReader{ctx: ctx, r: f}, name: name, label: filepath.Base(name), closer: f}, nil
}

func (s *source) close() {
	if s.closer != nil {
		_ = s.closer.Close() // it was only read
	}
}

// An endReader stops between two reads when its context is done.
type endReader struct {
	ctx context.Context
	r   io.Reader
}

func (e *endReader) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.r.Read(p)
}

// findings are what there is to say of a file of requests.
type findings struct {
	bytes    int64 // unpacked, as far as they were read
	requests int
	endpoint string // empty: no line names one
	models   batch.ModelSet
	errs     []batch.LineError // at most batch.MaxErrors; Line 0 where the whole file is meant
	more     int
}

// judgeFile reads a file and finds what the server does: first as it stores the
// file, then as it takes a batch of it, then line by line as it loads the batch.
// What an earlier step refuses no later one sees. each, if there is one, is shown
// every line that is not blank. An error means that the file could not be read.
func judgeFile(src *source, rules batch.Rules, most int64, each func(batch.Line)) (*findings, error) {
	f := &findings{}
	v := batch.NewVerdict(rules)
	err := f.read(src, rules, most, v, each)
	var (
		file  *batch.FileError
		order *batch.OrderError
	)
	f.requests, f.endpoint, f.models = v.Total(), v.Endpoint(), v.Models()
	switch {
	case errors.As(err, &file):
		f.errs = []batch.LineError{{Code: file.Code, Param: file.Param, Message: file.Message}}
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", src.name, err)
	case errors.As(f.refusedOrder(rules), &order):
		f.errs = []batch.LineError{{Code: order.Code, Param: order.Param, Message: order.Message}}
	default:
		f.errs, f.more = v.Errors(), v.More()
	}
	return f, nil
}

// refusedOrder returns why no batch may be for the file's endpoint.
func (f *findings) refusedOrder(rules batch.Rules) error {
	if f.endpoint == "" { // and so no line is good
		return nil
	}
	return batch.CheckEndpoint(f.endpoint, batch.KnownEndpoints(rules.Extra))
}

// read reads a file to its end, or to a byte more than it may have.
func (f *findings) read(src *source, rules batch.Rules, most int64, v *batch.Verdict, each func(batch.Line)) error {
	plain, packed := batch.PlainName(src.label)
	if err := batch.CheckName(plain, "file"); err != nil {
		return err
	}
	content := &counted{from: io.LimitReader(batch.Unpack(src, packed), most+1)}
	head, err := io.ReadAll(io.LimitReader(content, batch.StartBytes))
	if err == nil {
		err = batch.CheckStart(head)
	}
	if err != nil {
		return err
	}
	in := batch.NewLineReader(io.MultiReader(bytes.NewReader(head), content), 0, rules.MaxLineBytes)
	for more := true; more; {
		var line batch.Line
		if line, err = in.Next(); err != nil {
			break
		}
		if each != nil {
			each(line)
		}
		more = v.Add(line)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = io.Copy(io.Discard, content)
	f.bytes = content.n
	if err == nil && content.n > most {
		err = batch.FileTooLarge(most)
	}
	return err
}

// A counted counts what is read.
type counted struct {
	from io.Reader
	n    int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	return n, err
}

func (f *findings) modelWords() string {
	names, all := f.models.Names()
	switch {
	case !all:
		return fmt.Sprintf(", of more than %d models", batch.MaxModels)
	case len(names) == 0:
		return ""
	}
	return ", of " + strings.Join(names, ", ")
}

// A validation is what --json says of a file. Its errors have the shape of a
// batch's (https://platform.openai.com/docs/api-reference/batch/object).
type validation struct {
	Object     string     `json:"object"`
	File       string     `json:"file"`
	Valid      bool       `json:"valid"`
	Endpoint   *string    `json:"endpoint"`
	Requests   int        `json:"requests"`
	Bytes      int64      `json:"bytes"`
	Models     []string   `json:"models"` // null: more than are kept
	Errors     faultsList `json:"errors"`
	MoreErrors int        `json:"more_errors"`
}

type faultsList struct {
	Object string  `json:"object"`
	Data   []fault `json:"data"`
}

type fault struct {
	Code    string  `json:"code"`
	Line    *int    `json:"line"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
}

func (f *findings) shape(name string) validation {
	out := validation{
		Object: "validation", File: name, Valid: len(f.errs) == 0, Requests: f.requests, Bytes: f.bytes, MoreErrors: f.more,
		Errors: faultsList{Object: "list", Data: []fault{}},
	}
	if f.endpoint != "" {
		out.Endpoint = &f.endpoint
	}
	if names, all := f.models.Names(); all {
		out.Models = append([]string{}, names...)
	}
	for i := range f.errs {
		e := &f.errs[i]
		said := fault{Code: e.Code, Message: e.Message}
		if e.Line > 0 {
			said.Line = &e.Line
		}
		if e.Param != "" {
			said.Param = &e.Param
		}
		out.Errors.Data = append(out.Errors.Data, said)
	}
	return out
}

// writeJSON writes a value as a line of JSON.
func writeJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("the answer as JSON: %w", err)
	}
	return write(w, text.String())
}
