package batch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

// TestOutputTakesItsLength demands that a result line takes its own length to be
// made, all that is freed meanwhile included, whatever came as an answer.
func TestOutputTakesItsLength(t *testing.T) { //nolint:paralleltest // it measures the process
	if raced {
		t.Skip("the race detector allocates itself")
	}
	const n = 9_800_000
	keys := bytes.NewBufferString(`{"model":"m"`)
	for i := 0; keys.Len() < n; i++ {
		_, _ = fmt.Fprintf(keys, `,"%x":0`, i)
	}
	keys.WriteString("}")
	for name, body := range map[string][]byte{ //nolint:paralleltest // as above
		"a million keys":     keys.Bytes(),
		"cut off":            keys.Bytes()[:keys.Len()-1],
		"no JSON":            bytes.Repeat([]byte("<p>\n"), n/4),
		"nothing but quotes": bytes.Repeat([]byte{'"'}, n),
		"control characters": bytes.Repeat([]byte{1}, n/6),
		"no UTF-8":           bytes.Repeat([]byte{0xff}, n/3),
		"JSON, not UTF-8":    []byte(`{"a":"` + strings.Repeat("xxxxxxxxxxxxxxxx\xff", n/17) + `"}`),
		"line ends":          []byte(`{"a":"` + strings.Repeat("\u2028", n/6) + `"}`),
	} {
		t.Run(name, func(t *testing.T) {
			var line []byte
			used := allocated(func() {
				line = batch.AppendAnswer(nil, key(), "a", batch.Answer{StatusCode: 200, RequestID: "r", Body: body}, batch.Failing{})
			})
			t.Logf("%.2f times its length of %d", float64(used)/float64(len(line)), len(line))
			if most := uint64(len(line))*11/10 + 64<<10; used > most {
				t.Errorf("a line of %d bytes allocates %d, want at most %d", len(line), used, most)
			}
			if !json.Valid(line) {
				t.Errorf("it is no JSON: %.200q", line)
			}
		})
	}
}
