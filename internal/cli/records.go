package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/jsonscan"
)

// maxRecordBytes bounds one record of a file, as a line of a batch is bounded.
const maxRecordBytes = batch.MostLineBytes

// A record is one thing that a request is made of.
type record struct {
	number int    // counted from 1
	line   int    // of its file, where it begins
	whole  []byte // the line of text, or of JSON; nil of CSV
	named  func(name string) ([]byte, error)
}

// value returns what r has under a name; empty: all of it.
func (r record) value(name string) ([]byte, error) {
	if name != "" {
		return r.named(name)
	}
	if r.whole == nil {
		return nil, errors.New("{{.}} is the whole record, which a row of CSV has not: name a column, as in {{.text}}")
	}
	return r.whole, nil
}

// Records are read one after the other. next returns io.EOF after the last; what
// else it returns names the line.
type records interface{ next() (record, error) }

var (
	_ records = (*tableRecords)(nil)
	_ records = (*jsonRecords)(nil)
	_ records = (*textRecords)(nil)
)

// The formats of records.
const (
	formatCSV   = "csv"
	formatTSV   = "tsv"
	formatJSONL = "jsonl"
	formatText  = "text"
)

// formatOf returns the format that a file's name says; text where it says none.
func formatOf(name string) string {
	plain, _ := batch.PlainName(strings.ToLower(name))
	switch {
	case strings.HasSuffix(plain, ".csv"):
		return formatCSV
	case strings.HasSuffix(plain, ".tsv"):
		return formatTSV
	case strings.HasSuffix(plain, ".jsonl"), strings.HasSuffix(plain, ".ndjson"):
		return formatJSONL
	}
	return formatText
}

// newRecords reads content, which gzip may have compressed, in a format. needs are
// the names that will be asked for: a table without them is refused at once.
func newRecords(src *source, format string, comma rune, needs []string) (records, error) {
	_, packed := batch.PlainName(src.label)
	in := bufio.NewReaderSize(batch.Unpack(src, packed), 64<<10)
	start, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, plainly(err)
	}
	if wide := batch.WideEncoding(start); wide != "" {
		return nil, fmt.Errorf("it looks like %s; save it as UTF-8", wide)
	}
	switch format {
	case formatCSV, formatTSV:
		if bytes.HasPrefix(start, []byte("\uFEFF")) {
			_, _ = in.Discard(len("\uFEFF")) // it was peeked
		}
		return newTable(in, comma, needs)
	case formatJSONL:
		return &jsonRecords{lines: batch.NewLineReader(in, 0, maxRecordBytes)}, nil
	}
	return &textRecords{lines: batch.NewLineReader(in, 0, maxRecordBytes)}, nil
}

// plainly returns the words of a file's refusal.
func plainly(err error) error {
	var file *batch.FileError
	if errors.As(err, &file) {
		return errors.New(file.Message)
	}
	return err
}

// A tableRecords reads CSV (https://www.rfc-editor.org/rfc/rfc4180), whose first
// row names the columns.
type tableRecords struct {
	from    *boundedReader
	rows    *csv.Reader
	columns map[string]int
	names   []string
	number  int
}

func newTable(in io.Reader, comma rune, needs []string) (*tableRecords, error) {
	t := &tableRecords{from: &boundedReader{from: in}, columns: map[string]int{}}
	t.rows = csv.NewReader(t.from)
	t.rows.Comma, t.rows.ReuseRecord = comma, true
	row, err := t.row()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty; its first row must name the columns")
	}
	if err != nil {
		return nil, err
	}
	for i, name := range row {
		name = strings.Clone(strings.TrimSpace(name))
		if _, twice := t.columns[name]; twice && name != "" {
			return nil, fmt.Errorf("line 1: two columns are called %q; rename one", batch.Clip(name))
		}
		t.columns[name] = i
		t.names = append(t.names, name)
	}
	delete(t.columns, "")
	for _, name := range needs {
		if _, err := t.column(name); name != "" && err != nil {
			return nil, fmt.Errorf("line 1: %w", err)
		}
	}
	return t, nil
}

// row reads the next row, in bounded memory.
func (t *tableRecords) row() ([]string, error) {
	t.from.left = maxRecordBytes
	row, err := t.rows.Read()
	var bad *csv.ParseError
	switch {
	case errors.Is(err, errLongRecord):
		return nil, fmt.Errorf("a row has more than %s; is a quote left open?", size(maxRecordBytes))
	case errors.As(err, &bad) && errors.Is(err, csv.ErrFieldCount):
		return nil, fmt.Errorf("line %d: it has %s, and the first row has %d", bad.StartLine, number(len(row), "column"), len(t.names))
	case errors.As(err, &bad):
		return nil, fmt.Errorf("line %d, byte %d: %w; the row begins at line %d", bad.Line, bad.Column, bad.Err, bad.StartLine)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, plainly(err)
	}
	return row, err
}

func (t *tableRecords) column(name string) (int, error) {
	at, known := t.columns[name]
	if known {
		return at, nil
	}
	hint := ""
	if len(t.names) == 1 && strings.ContainsAny(t.names[0], ";\t|") {
		hint = "; is it separated otherwise? Say so with --delimiter"
	}
	return 0, fmt.Errorf("there is no column %q; there are: %s%s", batch.Clip(name), batch.Clip(strings.Join(t.names, ", ")), hint)
}

func (t *tableRecords) next() (record, error) {
	row, err := t.row()
	if err != nil {
		return record{}, err
	}
	t.number++
	line, _ := t.rows.FieldPos(0)
	return record{number: t.number, line: line, named: func(name string) ([]byte, error) {
		at, err := t.column(name)
		if err != nil {
			return nil, err
		}
		return inUTF8([]byte(row[at]), name)
	}}, nil
}

// inUTF8 returns value, or an error if it is no text.
func inUTF8(value []byte, name string) ([]byte, error) {
	if !utf8.Valid(value) {
		return nil, fmt.Errorf("what it has for %q is not UTF-8, as in a file saved as Windows-1252 or Latin-1; save it as UTF-8",
			batch.Clip(name))
	}
	return value, nil
}

// errLongRecord reports a record beyond maxRecordBytes.
var errLongRecord = errors.New("a record is too long")

// A boundedReader reads so many bytes more, and then fails.
type boundedReader struct {
	from io.Reader
	left int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongRecord
	}
	n, err := b.from.Read(p)
	b.left -= n
	return n, err
}

// A jsonRecords reads an object on each line.
type jsonRecords struct {
	lines  *batch.LineReader
	number int
}

func (j *jsonRecords) next() (record, error) {
	ln, err := nextLine(j.lines)
	if err != nil {
		return record{}, err
	}
	whole := bytes.TrimSpace(ln.Text)
	if why := batch.Malformed(whole); why != "" {
		return record{}, fmt.Errorf("line %d is no JSON. %s", ln.Number, why)
	}
	if whole[0] != '{' {
		return record{}, fmt.Errorf("line %d is %s; a record is an object", ln.Number, jsonscan.Kind(whole))
	}
	j.number++
	return record{number: j.number, line: ln.Number, whole: whole, named: func(name string) ([]byte, error) {
		return memberText(whole, name)
	}}, nil
}

// memberText returns a member of a JSON object as text: a string as it is, null as
// nothing, and whatever else as JSON. A name that no member has is taken apart at
// its dots.
func memberText(object []byte, name string) ([]byte, error) {
	value, found := member(object, name)
	if !found {
		return nil, fmt.Errorf("it has no member %q; it has: %s", batch.Clip(name), batch.Clip(memberNames(object)))
	}
	switch {
	case jsonscan.Null(value):
		return nil, nil
	case value[0] != '"':
		compact := jsontext.Value(bytes.Clone(value))
		if err := compact.Compact(); err != nil {
			return nil, err
		}
		return compact, nil
	case jsonscan.HalfPair(value):
		return nil, fmt.Errorf("its member %q has half of a surrogate pair, and so is no text", batch.Clip(name))
	}
	return jsonscan.AppendText(nil, value), nil
}

func member(object []byte, name string) ([]byte, bool) {
	if len(object) == 0 || object[0] != '{' {
		return nil, false
	}
	values, err := jsonscan.Pick(object, name)
	if err != nil {
		return nil, false
	}
	if values[0] != nil {
		return values[0], true
	}
	outer, inner, nested := strings.Cut(name, ".")
	if !nested {
		return nil, false
	}
	if values, err = jsonscan.Pick(object, outer); err != nil {
		return nil, false
	}
	return member(values[0], inner)
}

func memberNames(object []byte) string {
	var names []string
	_ = jsonscan.Members(object, func(name, _ []byte) error { // it was read
		if text := string(jsonscan.AppendName(nil, name)); !slices.Contains(names, text) && len(names) < maxNames {
			names = append(names, text)
		}
		return nil
	})
	return strings.Join(names, ", ")
}

// maxNames bounds what an error says of a record.
const maxNames = 20

// A textRecords reads lines of text. {{.text}} is the line.
type textRecords struct {
	lines  *batch.LineReader
	number int
}

func (t *textRecords) next() (record, error) {
	ln, err := nextLine(t.lines)
	if err != nil {
		return record{}, err
	}
	whole, err := inUTF8(ln.Text, "text")
	if err != nil {
		return record{}, fmt.Errorf("line %d: %w", ln.Number, err)
	}
	t.number++
	return record{number: t.number, line: ln.Number, whole: whole, named: func(name string) ([]byte, error) {
		if name != "text" {
			return nil, fmt.Errorf("a line of text has no %q; {{.text}} is the line", batch.Clip(name))
		}
		return whole, nil
	}}, nil
}

func nextLine(lines *batch.LineReader) (batch.Line, error) {
	ln, err := lines.Next()
	switch {
	case errors.Is(err, io.EOF):
		return ln, err
	case err != nil:
		return ln, plainly(err)
	case ln.TooLong:
		return ln, fmt.Errorf("line %d is longer than %s", ln.Number, size(maxRecordBytes))
	}
	return ln, nil
}
