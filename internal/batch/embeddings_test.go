package batch_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
)

func TestEmbeddingInputs(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`{}`: 1, `{"input":null}`: 1, `{"input":"a, b"}`: 1, `{"input":[]}`: 1, `{"input":{"a":1}}`: 1,
		`{"input":["a"]}`: 1, `{"input":[ "a" , "b" ]}`: 2, `{"input":["a,]\"","\\",""]}`: 3,
		`{"input":[1,2,3]}`: 1, `{"input": [ -1, 2]}`: 1, `{"input":[[1,2],[3]]}`: 2, `{"input":[[]]}`: 1,
		`{"input":[{"text":"a","x":[1,2]},{}]}`: 2, `{"Input":["a","b"]}`: 1,
		`{"input":[null,true]}`: 1, `{"input":["a",0]}`: 1, `{"input":["a",9]}`: 1, `{"input":["a",5]}`: 1,
	} {
		if got := batch.EmbeddingInputs([]byte(body)); got != want {
			t.Errorf("%s has %d inputs, want %d", body, got, want)
		}
	}
}

// TestEmbeddingInputsOfTexts holds the count against what encoding/json reads.
func TestEmbeddingInputsOfTexts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.String(), 1, 20).Draw(t, "texts")
		body, err := json.MarshalIndent(map[string]any{"model": "m", "input": texts}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if got := batch.EmbeddingInputs(body); got != len(texts) {
			t.Fatalf("%s has %d inputs, want %d", body, got, len(texts))
		}
	})
}
