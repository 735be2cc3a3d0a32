package submit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/submit"
)

func TestLoadCountsEmbeddingInputs(t *testing.T) {
	t.Parallel()
	line := func(id, input string) string {
		return fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":"/v1/embeddings","body":{"model":"m","input":%s}}`+"\n", id, input)
	}
	text := line("a", `["1","2","3"]`) + line("b", `"4"`) + line("c", `[5,5,5,5]`) + line("d", `["6","7"]`)
	for name, c := range map[string]struct {
		limit int
		want  []batch.LineError
	}{
		"as many as may be": {limit: 7},
		"one more": {limit: 6, want: []batch.LineError{{
			Code: batch.CodeTooManyInputs, Line: 4, Param: "body.input",
			Message: "The file has more than 6 embedding inputs up to this line. Split it into several batches.",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bn := newBench(t, text)
			bn.record.Endpoint = batch.EndpointEmbeddings
			b := bn.load(t, submit.LoadConfig{MaxEmbeddingInputs: c.limit})
			if diff := cmp.Diff(c.want, b.Errors); diff != "" {
				t.Error(diff)
			}
			if failed := b.Status == batch.StatusFailed; failed != (c.want != nil) {
				t.Errorf("the batch is %s", b.Status)
			}
		})
	}
	bn := newBench(t, strings.ReplaceAll(lines(3), `"messages":[]`, `"messages":[],"input":["1","2","3"]`))
	if b := bn.load(t, submit.LoadConfig{MaxEmbeddingInputs: 1}); b.Status != batch.StatusInProgress {
		t.Errorf("another endpoint's batch is %s: %v", b.Status, b.Errors)
	}
}
