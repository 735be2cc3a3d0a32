package route

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// A Table is all models of a deployment at one moment. Its models have their
// defaults. The zero Table matches nothing.
type Table struct {
	models []Model // the better match first
	named  map[string]int
}

// NewTable returns the table of models. Of two with one pattern the first stands,
// so that what an operator stored comes before a default route.
//
// A model that is invalid keeps its pattern and loses its routes: its requests
// wait, and are not taken to an upstream that nobody chose for them.
func NewTable(models ...Model) Table {
	t := Table{named: map[string]int{}}
	seen := map[string]bool{}
	for _, m := range models {
		if seen[m.Pattern] {
			continue
		}
		seen[m.Pattern] = true
		if m.Validate() != nil {
			m = Model{Pattern: m.Pattern, Revision: m.Revision}
		}
		t.models = append(t.models, m.WithDefaults())
	}
	slices.SortFunc(t.models, func(a, b Model) int { return better(a.Pattern, b.Pattern) })
	for i, m := range t.models {
		if IsName(m.Pattern) {
			t.named[m.Pattern] = i
		}
	}
	return t
}

// Now returns t, for whoever works with one table for good.
func (t Table) Now(context.Context) (Table, error) { return t, nil }

// Match returns what is said of a model, by its name, and whether anything is.
// A Model without routes is one that is stored and invalid.
func (t Table) Match(model string) (Model, bool) {
	if i, ok := t.named[model]; ok {
		return t.models[i], true
	}
	for _, m := range t.models {
		if matches(m.Pattern, model) {
			return m, true
		}
	}
	return Model{}, false
}

// Goes returns by what requests for a model go that have so much time remaining
// before their deadline, with the name that is called: by what Match returns, or
// late ones by the model to which that escalates them, if it has routes.
func (t Table) Goes(model string, remaining time.Duration) (name string, m Model, ok bool) {
	m, ok = t.Match(model)
	if m.Escalates(remaining) {
		if other, found := t.Match(m.Escalation.Model); found && len(other.Routes) > 0 {
			return m.Escalation.Model, other, true
		}
	}
	return model, m, ok
}

// stored returns the model of exactly that pattern, if it has routes.
func (t Table) stored(pattern string) (Model, bool) {
	i := slices.IndexFunc(t.models, func(m Model) bool { return m.Pattern == pattern && len(m.Routes) > 0 })
	if i < 0 {
		return Model{}, false
	}
	return t.models[i], true
}

// Models returns all models, the one that wins over others first.
func (t Table) Models() []Model { return slices.Clone(t.models) }

// Names returns the patterns that are names, in alphabetical order.
func (t Table) Names() []string {
	var names []string
	for _, m := range t.models {
		if IsName(m.Pattern) {
			names = append(names, m.Pattern)
		}
	}
	slices.Sort(names)
	return names
}

// Label returns the pattern that matches a model as a metric's label, or "other",
// so that no tenant's text becomes one.
func (t Table) Label(model string) string {
	if m, ok := t.Match(model); ok && m.Pattern != Default {
		return m.Pattern
	}
	return "other"
}

// better orders patterns: names, then those with more literal characters, fewer
// stars, and by the alphabet.
func better(a, b string) int {
	stars := func(p string) int { return strings.Count(p, "*") }
	literal := func(p string) int { return len(p) - stars(p) }
	return cmp.Or(
		cmp.Compare(min(stars(a), 1), min(stars(b), 1)),
		cmp.Compare(literal(b), literal(a)),
		cmp.Compare(stars(a), stars(b)),
		cmp.Compare(a, b),
	)
}

// matches reports whether name is of pattern, in time that grows with both and
// no faster.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, last); !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return true
}
