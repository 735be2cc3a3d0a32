package api

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/jsonscan"
)

// ignored are names that clients of other services send with everything, and that ask for nothing that is here: they are
// neither read nor refused, in queries, forms and JSON bodies. Every other name that nobody reads is refused, since a wish that
// is silently not heeded is found out too late.
func ignored(name string) bool {
	switch name {
	case "api-version", // of Azure's clients, in every query
		"custom_llm_provider", "target_model_names": // of LiteLLM
		return true
	}
	return false
}

// known returns a 400 about name unless it is one of names, or ignored.
func known(name string, names []string) error {
	if slices.Contains(names, name) || ignored(name) {
		return nil
	}
	message := "Unknown parameter: '" + clip(name) + "'."
	if near := nearest(name, names); near != "" {
		message += " Did you mean '" + near + "'?"
	}
	if len(names) > 0 {
		message += " Known here: " + quoted(names) + "."
	} else {
		message += " None is known here."
	}
	return badRequest(clip(name), batch.CodeUnknownParameter, "%s", message)
}

// longestNear bounds the names that are compared: all known ones are shorter.
const longestNear = 64

// nearest returns the one of names that name was probably meant for; empty if none is near.
func nearest(name string, names []string) string {
	plain := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)) }
	given := plain(name)
	if len(given) > longestNear {
		return ""
	}
	best, found := 0, ""
	for _, candidate := range names {
		want := plain(candidate)
		far := distance(given, want)
		if len(given) >= 4 && (strings.HasPrefix(want, given) || strings.HasPrefix(given, want)) {
			far = min(far, len(want)/3)
		}
		if far <= max(len(want)/3, 1) && (found == "" || far < best) {
			best, found = far, candidate
		}
	}
	return found
}

// distance counts the bytes to insert, delete or replace on the way from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// only returns a 400 about the first of f's names that is none of names. within is the object that f lies in; empty for a body.
func (f fields) only(within string, names ...string) error {
	if len(f) == 0 {
		return nil
	}
	for i := range names {
		names[i] = within + names[i]
	}
	var scratch []byte
	return jsonscan.Members(f, func(name, _ []byte) error {
		scratch = jsonscan.AppendName(scratch[:0], name)
		return known(within+string(scratch), names)
	})
}

// readNothing returns a 400 if the body of r, to an endpoint that has no parameters, has any.
func readNothing(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	f, err := asFields(r, body)
	if err != nil {
		return err
	}
	return f.only("")
}

// checkQuery returns a 400 about a name in r's query that is none of names.
func checkQuery(r *http.Request, names []string) error {
	q, err := query(r)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if err := known(name, names); err != nil {
			return err
		}
	}
	return nil
}
