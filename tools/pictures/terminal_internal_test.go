package main

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestWhatIsOnTheScreen(t *testing.T) {
	t.Parallel()
	s := session{"batch_01jnfh0000000000000000000a\r\n  0% |   | 0/9\r\x1b[K 50% |█  | 4/9 <&>\r\x1b[K100% |███| 9/9\r\nDone.\r\n"}
	want := []string{"batch_01jnfh0000000000000000000a", " 50% |█  | 4/9 <&>", "100% |███| 9/9", "Done."}
	if got := s.lines(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if s.batch() != want[0] {
		t.Errorf("the batch is %q", s.batch())
	}
	d := xml.NewDecoder(strings.NewReader(string(drawing(want))))
	for {
		if _, err := d.Token(); err == io.EOF { //nolint:errorlint // as it is documented
			break
		} else if err != nil {
			t.Fatalf("the drawing is no XML: %v", err)
		}
	}
}

func TestTheBatchOfThePictures(t *testing.T) {
	t.Parallel()
	all := string(lines())
	if n, bad := strings.Count(all, "\n"), strings.Count(all, "status=400"); n != requests || bad != refused {
		t.Errorf("%d lines, of which %d are refused", n, bad)
	}
}
