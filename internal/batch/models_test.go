package batch_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

// named returns a batch whose requests name these models.
func named(models ...string) batch.Batch {
	var set batch.ModelSet
	for _, m := range models {
		set.Add(m)
	}
	var b batch.Batch
	b.NameModels(set)
	return b
}

func TestModelsOfABatch(t *testing.T) {
	t.Parallel()
	b := named("b", "a", "", "b", "c", "a")
	if diff := cmp.Diff([]string{"b", "a", "c"}, b.Models); diff != "" || b.ModelsMixed {
		t.Errorf("mixed %t, models (-want +got):\n%s", b.ModelsMixed, diff)
	}
	for model, want := range map[string]int{"b": 1, "a": 2, "c": 3, "d": 0, "": 0} {
		index := b.ModelIndex(model)
		got, known := b.Model(index)
		if index != want || known != (want > 0) || known && got != model {
			t.Errorf("%q has the index %d, which is %q (%t), want %d", model, index, got, known, want)
		}
	}
	for _, index := range []int{-1, 0, 4} {
		if got, known := b.Model(index); known {
			t.Errorf("%d is %q", index, got)
		}
	}
	b.Load.Validated = true
	b.NameModels(batch.ModelSet{})
	if len(b.Models) != 3 {
		t.Errorf("once it is validated it names %q", b.Models)
	}
}

// TestModelsAreFewAndShort holds what a tenant's names can cost each write of the record.
func TestModelsAreFewAndShort(t *testing.T) {
	t.Parallel()
	many := make([]string, batch.MaxModels)
	for i := range many {
		many[i] = fmt.Sprint("model-", i)
	}
	long := strings.Repeat("x", 255)
	for name, c := range map[string]struct {
		models []string
		mixed  bool
	}{
		"as many as may be":  {many, false},
		"one more":           {append(many[:len(many):len(many)], "more"), true},
		"and again":          {append(many[:len(many):len(many)], "more", "model-1"), true},
		"as long as may be":  {[]string{long + "1", long + "2", long + "3", long + "4", long + "5", long + "6", long + "7", long + "8"}, false},
		"one character more": {[]string{long + "1", long + "2", long + "3", long + "4", long + "5", long + "6", long + "7", long + "8", "x"}, true},
	} {
		b := named(c.models...)
		want := len(c.models)
		if c.mixed {
			want = 0
		}
		if b.ModelsMixed != c.mixed || len(b.Models) != want {
			t.Errorf("%s: mixed %t with %d models", name, b.ModelsMixed, len(b.Models))
		}
	}
}
