package execute

import (
	"context"
	"testing"

	"github.com/musketry/musketry/internal/route"
)

// TestModelsHaveLabels by what the operator calls them, and none that a tenant chose.
func TestModelsHaveLabels(t *testing.T) {
	t.Parallel()
	table := route.NewTable(route.DefaultModel("https://api.example.com/v1", false), route.Model{
		Pattern: "gpt-*", Routes: []route.Route{{ID: "r", BaseURL: "https://api.example.com/v1", Weight: 1}},
	})
	fails := func(context.Context) (route.Table, error) { return table, errGather }
	for _, tc := range []struct {
		model, want string
		models      func(context.Context) (route.Table, error)
	}{
		{"", "", table.Now}, {"named", "named", fails}, {"gpt-4o", "gpt-*", table.Now}, {"own", "other", table.Now}, {"gpt-4o", "other", fails},
	} {
		k := kit{ctx: t.Context(), models: tc.models, named: []string{"named"}}
		if got := k.modelLabel(tc.model); got != tc.want {
			t.Errorf("%q is called %q, want %q", tc.model, got, tc.want)
		}
	}
}
