package concurrency_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/tools/concurrency"
)

func TestContexts(t *testing.T) {
	t.Parallel()
	small, large := concurrency.Limits{Total: 10, Unreserved: 10}, concurrency.Limits{Total: 1000, Unreserved: 1000}
	tests := map[string]struct {
		limits concurrency.Limits
		given  []string
		want   []string
		said   string
		err    error
	}{
		"nothing chosen":                 {large, nil, nil, "10 invocations of execute of the account's 1000, and 990 left", nil},
		"nothing chosen, little there":   {small, nil, []string{"invocations=5"}, "5 invocations of execute instead of 10", nil},
		"too many":                       {large, []string{"invocations=900", "name=A"}, []string{"name=A", "invocations=800"}, "instead of 900", nil},
		"few":                            {small, []string{"invocations=3"}, []string{"invocations=3"}, "3 invocations", nil},
		"the last one counts":            {small, []string{"invocations=3", "invocations=4"}, []string{"invocations=3", "invocations=4"}, "4 inv", nil},
		"no number, which the app says":  {small, []string{"invocations=many"}, []string{"invocations=many"}, "", nil},
		"a reservation that fits":        {large, []string{"submitConcurrency=50"}, []string{"submitConcurrency=50"}, "940 left", nil},
		"a reservation that AWS refuses": {small, []string{"submitConcurrency=2"}, nil, "", concurrency.ErrReserved},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, said, err := tt.limits.Contexts(tt.given)
			if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
				t.Errorf("%v: %s", err, diff)
			}
			if !strings.Contains(said, tt.said) || tt.said == "" && said != "" {
				t.Errorf("it says %q, want %q", said, tt.said)
			}
		})
	}
}
