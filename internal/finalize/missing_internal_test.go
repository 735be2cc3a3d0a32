package finalize

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A text is an input file, which counts how often it is read.
type text struct {
	Objects

	bytes []byte
	reads int
}

func (o *text) Read(_ context.Context, _ string, offset, length int64) ([]byte, error) {
	o.reads++
	return o.bytes[offset : offset+length], nil
}

// TestInputIsReadByChunks reads runs of an input of three chunks, the last of
// which is short.
func TestInputIsReadByChunks(t *testing.T) {
	t.Parallel()
	input := bytes.Repeat([]byte("0123456789abcde\n"), (2*inputChunk+1<<10)/16)
	size := int64(len(input))
	for name, tc := range map[string]struct{ at, to, reads int64 }{
		"nothing":               {5, 5, 0},
		"the beginning":         {0, 10, 1},
		"up to a chunk's end":   {inputChunk - 1, inputChunk, 1},
		"from a chunk's start":  {inputChunk, inputChunk + 10, 1},
		"across a border":       {inputChunk - 3, inputChunk + 3, 2},
		"the end":               {size - 1, size, 1},
		"all":                   {0, size, 3},
		"more than there is":    {size - 10, size + 10, 1},
		"behind all that there": {size, size + 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &text{bytes: input}
			in := &inputReader{objects: o, size: size}
			got, err := io.ReadAll(&sectionReader{ctx: t.Context(), in: in, at: tc.at, to: tc.to})
			if err != nil || !bytes.Equal(got, input[min(tc.at, size):min(tc.to, size)]) || int64(o.reads) != tc.reads {
				t.Errorf("%d bytes by %d reads, want %d; %v", len(got), o.reads, tc.reads, err)
			}
		})
	}
	o := &text{bytes: input}
	in := &inputReader{objects: o, size: size}
	for _, at := range []int64{3, 0, inputChunk - 1} { // runs of one chunk
		if _, err := io.ReadAll(&sectionReader{ctx: t.Context(), in: in, at: at, to: at + 1}); err != nil || o.reads != 1 {
			t.Errorf("%d reads of one chunk; %v", o.reads, err)
		}
	}
}

// TestNextLine reads the lines of an input that are not blank, with their places.
func TestNextLine(t *testing.T) {
	t.Parallel()
	type line struct {
		Text  string
		Start int64
	}
	for name, tc := range map[string]struct {
		input string
		at    int64 // where in the file it begins
		want  []line
	}{
		"nothing":             {"", 0, nil},
		"blank lines":         {"\n \n\r\n", 0, nil},
		"lines":               {"a\nbc\n", 0, []line{{"a", 0}, {"bc", 2}}},
		"without its end":     {"a\nbc", 0, []line{{"a", 0}, {"bc", 2}}},
		"with blanks between": {"\na\r\n\t\n\nbc\n", 100, []line{{"a", 101}, {"bc", 107}}},
		"a mark at the start": {"\uFEFFa\nb\n", 0, []line{{"a", 3}, {"b", 5}}},
		"a mark further on":   {"\uFEFFa\n", 7, []line{{"\uFEFFa", 7}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, at := bufio.NewReader(strings.NewReader(tc.input)), tc.at
			var got []line
			for {
				text, start, err := nextLine(in, &at)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, line{string(text), start})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || at != tc.at+int64(len(tc.input)) {
				t.Errorf("it stands at %d; lines (-want +got):\n%s", at, diff)
			}
		})
	}
}
