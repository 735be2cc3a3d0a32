package submit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/submit"
)

// linesOf returns an input file whose requests for endpoint name these models; an empty one is none.
func linesOf(endpoint string, models ...string) string {
	var text strings.Builder
	for i, m := range models {
		body := fmt.Sprintf(`"model":%q,`, m)
		if m == "" {
			body = ""
		}
		fmt.Fprintf(&text, `{"custom_id":"c%d","method":"POST","url":%q,"body":{%s"messages":[],"input":"x"}}`+"\n", i+1, endpoint, body)
	}
	return text.String()
}

// loadModels loads a file of requests for endpoint that name these models.
func loadModels(t *testing.T, now func(context.Context) (route.Table, error), endpoint string, models ...string) (*bench, error) {
	t.Helper()
	bn := newBench(t, linesOf(endpoint, models...))
	bn.record.Endpoint = endpoint
	_, err := submit.NewLoader(submit.LoadDeps{
		Store: bn.store, Source: bn.store, Inputs: bn.files, Clock: bn.clock, Log: slog.New(slog.DiscardHandler), Models: now,
	}, submit.LoadConfig{}).Load(t.Context(), submit.Task{Ref: bn.record.Ref, Record: &bn.record})
	return bn, err
}

func TestLoadDemandsARoute(t *testing.T) {
	t.Parallel()
	some := route.NewTable(route.Model{Pattern: "gpt-4o*"}, route.Model{Pattern: "embed"})
	unknown := func(lines ...int) []batch.LineError {
		var errs []batch.LineError
		for _, n := range lines {
			errs = append(errs, batch.LineError{
				Code: "model_not_found", Line: n, Param: "body.model",
				Message: "This line's model is none that this deployment calls. Name one of those that GET /v1/models lists, or ask who runs it to add yours.",
			})
		}
		return errs
	}
	for name, c := range map[string]struct {
		table    route.Table
		endpoint string
		models   []string
		want     []batch.LineError
	}{
		"all known":               {some, "/v1/chat/completions", []string{"gpt-4o", "gpt-4o-mini", "gpt-4o"}, nil},
		"some unknown":            {some, "/v1/chat/completions", []string{"o3", "gpt-4o", "o3", "O3"}, unknown(1, 3, 4)},
		"embeddings":              {some, "/v1/embeddings", []string{"embed", "embed-2"}, unknown(2)},
		"no model":                {some, "/v1/moderations", []string{"", "embed"}, unknown(1)},
		"a default route":         {route.NewTable(route.DefaultModel("https://x", false)), "/v1/moderations", []string{"", "o3"}, nil},
		"nothing":                 {route.Table{}, "/v1/chat/completions", []string{"gpt-4o"}, unknown(1)},
		"an invalid one is known": {route.NewTable(route.Model{Pattern: "o3"}), "/v1/chat/completions", []string{"o3"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bn, err := loadModels(t, c.table.Now, c.endpoint, c.models...)
			b := bn.stored(t)
			if diff := cmp.Diff(c.want, b.Errors); diff != "" || err != nil {
				t.Error(err, diff)
			}
			if failed := b.Status == batch.StatusFailed; failed != (c.want != nil) {
				t.Errorf("the batch is %s", b.Status)
			}
		})
	}
	broken := errors.New("no answer")
	bn, err := loadModels(t, func(context.Context) (route.Table, error) { return route.Table{}, broken }, "/v1/chat/completions", "m")
	if b := bn.stored(t); !errors.Is(err, broken) || b.Status != batch.StatusValidating {
		t.Errorf("where models cannot be read the batch is %s, and the load ends with %v", b.Status, err)
	}
}

// TestLoadNumbersModels shows that each request says which of its batch's models it names.
func TestLoadNumbersModels(t *testing.T) {
	t.Parallel()
	all := route.NewTable(route.DefaultModel("https://x", false)).Now
	bn, err := loadModels(t, all, "/v1/moderations", "b", "a", "", "b")
	if err != nil {
		t.Fatal(err)
	}
	b := bn.stored(t)
	if diff := cmp.Diff([]string{"b", "a"}, b.Models); diff != "" || b.ModelsMixed {
		t.Errorf("mixed %t, models (-want +got):\n%s", b.ModelsMixed, diff)
	}
	for line, want := range []int{1, 2, 0, 1} {
		rec, err := bn.store.Request(t.Context(), b.Key(line+1))
		if err != nil || rec.Spec.Model != want {
			t.Errorf("line %d has the model %d, %v, want %d", line+1, rec.Spec.Model, err, want)
		}
		if m := batch.MessageOf(b.Tenant, rec.Spec); m.Model != want {
			t.Errorf("the message of line %d has the model %d, want %d", line+1, m.Model, want)
		}
	}
	many := make([]string, batch.MaxModels+1)
	for i := range many {
		many[i] = fmt.Sprint("model-", i)
	}
	if bn, err = loadModels(t, all, "/v1/moderations", many...); err != nil {
		t.Fatal(err)
	}
	if b = bn.stored(t); !b.ModelsMixed || len(b.Models) > 0 {
		t.Errorf("of a batch with one model more than are named: mixed %t, %d models", b.ModelsMixed, len(b.Models))
	}
	for rec, err := range bn.store.Requests(t.Context(), b.ID, b.Shards, 0) {
		if err != nil || rec.Spec.Model != 0 || rec.Phase.Status() != state.StatusPending {
			t.Errorf("line %d has the model %d, %v", rec.Spec.Key.Line, rec.Spec.Model, err)
		}
	}
}
