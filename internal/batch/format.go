package batch

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// StartBytes is how much of a file CheckStart is shown: its start, or all of a
// shorter one.
const StartBytes = 8 << 20

const codeFileFormat = "invalid_file_format"

// A FileError says why a file was refused before its lines are judged, and how to
// mend it.
type FileError struct {
	Param   string // the field at fault
	Code    string
	Message string // quotes nothing of the file
}

func (e *FileError) Error() string { return fmt.Sprintf("batch: file: %s: %s", e.Code, e.Message) }

// FileTooLarge is the refusal of a file of more bytes than the limit.
func FileTooLarge(limit int64) error {
	return &FileError{
		Param: "file", Code: "file_too_large",
		Message: fmt.Sprintf("File is too large. A file of this purpose has at most %d bytes.", limit),
	}
}

// A file for batches is JSONL by its content. What it is called decides nothing, since clients that send bytes name them
// "upload", "3" or "unknown_file", unless the name says that it is something else.

// contradicts returns the ending of a file's name that says that the file is no JSONL; empty if the name does not.
func contradicts(name string) string {
	ending := strings.ToLower(path.Ext(name))
	switch ending {
	case ".csv", ".tsv", ".xls", ".xlsx", ".xlsm", ".ods", ".parquet", ".arrow", ".feather", ".avro", ".orc", // tables
		".pdf", ".doc", ".docx", ".odt", ".rtf", ".html", ".htm", ".xml", ".yaml", ".yml", // documents
		".zip", ".tar", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar": // packed, and not by gzip
		return ending
	}
	return ""
}

// CheckName returns a *FileError about param if name, as PlainName returns it, says
// that a file for batches is none.
func CheckName(name, param string) error {
	ending := contradicts(name)
	if ending == "" {
		return nil
	}
	return badFormat(param, "its name ends in %s. Must be .jsonl: one JSON object on each line, which may be compressed as .jsonl.gz.",
		ending)
}

// PlainName returns a file's name once it is unpacked, and whether it must be.
func PlainName(name string) (string, bool) {
	if n := len(name) - len(".gz"); n > 0 && strings.EqualFold(name[n:], ".gz") {
		return name[:n], true
	}
	return name, false
}

// gzipStart begins each file of gzip (https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1).
const gzipStart = "\x1f\x8b"

// CheckStart returns a *FileError if the first line of head, StartBytes of a file at its start, is not JSON. A line that head
// does not hold whole is left to the batch's validation, and so is what else a line must have.
func CheckStart(head []byte) error {
	if what := foreign(head); what != "" {
		return badFormat("file", "it looks like %s. Send JSONL: one JSON object on each line, in UTF-8.", what)
	}
	rest := bytes.TrimPrefix(head, []byte("\uFEFF")) // loading passes over it too
	for number := 1; len(rest) > 0; number++ {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if line = bytes.TrimSpace(line); len(line) == 0 {
			rest = after
			continue
		}
		if !ended && len(head) >= StartBytes {
			return nil
		}
		if why := Malformed(line); why != "" {
			return badFormat("file", "line %d is not parseable as valid JSON. %s", number, why)
		}
		return nil
	}
	if len(head) == 0 {
		return badFormat("file", "it is empty. Write one request on each line.")
	}
	return badFormat("file", "it has nothing but blank lines. Write one request on each line.")
}

// foreign says what a file is that begins as no text in UTF-8 does; empty of any other.
func foreign(head []byte) string {
	if wide := WideEncoding(head); wide != "" {
		return "text in " + wide + ", which is not UTF-8"
	}
	for _, known := range [...]struct{ start, what string }{
		{"PK\x03\x04", "a ZIP archive, as which .xlsx files come too"},
		{"%PDF-", "a PDF"},
		{"PAR1", "Parquet"},
		{gzipStart, "gzip, packed twice"},
		{"\x28\xb5\x2f\xfd", "Zstandard, which is not unpacked here: use gzip"},
		{"BZh", "bzip2, which is not unpacked here: use gzip"},
		{"\xfd7zXZ\x00", "xz, which is not unpacked here: use gzip"},
		{"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"},
	} {
		if bytes.HasPrefix(head, []byte(known.start)) {
			return known.what
		}
	}
	return ""
}

// badFormat is OpenAI's own refusal of a file that is no JSONL, and why.
func badFormat(param, why string, args ...any) error {
	return &FileError{
		Param: param, Code: codeFileFormat, Message: "Invalid file format for Batch API: " + fmt.Sprintf(why, args...),
	}
}
