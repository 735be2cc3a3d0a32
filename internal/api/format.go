package api

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/musketry/musketry/internal/batch"
)

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

// checkName returns a 400 about param if name says that a file for batches is none.
func checkName(name, param string) error {
	ending := contradicts(name)
	if ending == "" {
		return nil
	}
	return badFormat(param, "its name ends in %s. Must be .jsonl: one JSON object on each line, which may be compressed as .jsonl.gz.",
		ending)
}

// plainName returns a file's name once it is unpacked, and whether it must be.
func plainName(name string) (string, bool) {
	if n := len(name) - len(".gz"); n > 0 && strings.EqualFold(name[n:], ".gz") {
		return name[:n], true
	}
	return name, false
}

// gzipStart begins each file of gzip (https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1).
const gzipStart = "\x1f\x8b"

// checkJSONL returns a 400 if the first line of head, which is the start of a file, is not JSON. A line that head does not
// hold whole is left to the batch's validation, and so is what else a line must have.
func checkJSONL(head []byte) error {
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
		if !ended && len(head) >= partBytes {
			return nil
		}
		if why := batch.Malformed(line); why != "" {
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
	if wide := batch.WideEncoding(head); wide != "" {
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
	return badRequest(param, "invalid_file_format", "Invalid file format for Batch API: %s", fmt.Sprintf(why, args...))
}
