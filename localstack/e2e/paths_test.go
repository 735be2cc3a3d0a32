//go:build e2e

package e2e_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestModelsOfAnyName demands that a name in a path arrives as it was meant: the answer about a model that there is not
// quotes it.
func TestModelsOfAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a/b", "a//b", "/", "a b", "100%", "a%2Fb", "%2520", "#1", "a?b", "a+b;c", "..", "é😀"} {
		var told struct {
			Error struct{ Code, Message string }
		}
		path := "/models/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
		code := call(t.Context(), t, "OPENAI_API_KEY", http.MethodGet, path, &told)
		want := "The model '" + name + "' does not exist."
		if code != http.StatusNotFound || told.Error.Code != "model_not_found" || told.Error.Message != want {
			t.Errorf("%s: %d %+v, want %q", path, code, told.Error, want)
		}
	}
}
