package reach_test

import (
	"testing"

	"github.com/musketry/musketry/tools/reach"
)

const module = "github.com/musketry/musketry"

func TestMainsReach(t *testing.T) {
	t.Parallel()
	const path = module + "/tools/reach/testdata/program"
	all, err := reach.Mains(t.Context(), module, path)
	if err != nil {
		t.Fatal(err)
	}
	uses := all[path]
	for name, want := range map[string]bool{
		"fmt.Println":                 true,  // by an interface of its own
		"os.Environ":                  true,  // by an interface of somebody else's
		"(*bytes.Buffer).WriteString": true,  // in a function that is passed on
		"time.Now":                    true,  // put off
		"os.Exit":                     false, // a method that no interface asks for
		"os.Getpid":                   false, // a type that becomes no interface
		"os.Getppid":                  false, // a method of a type that becomes one without it
		"(*strings.Reader).Read":      false,
		"(sort.StringSlice).Less":     true, // by its embedding
	} {
		if uses.Calls[name] != want {
			t.Errorf("%s is reached: %v, want %v", name, uses.Calls[name], want)
		}
	}
	if !uses.Texts["reached"] {
		t.Errorf("the texts are %v", uses.Texts)
	}
}

func TestMainsOfNothing(t *testing.T) {
	t.Parallel()
	if _, err := reach.Mains(t.Context(), module, module+"/tools/reach/testdata/absent"); err == nil {
		t.Error("a package that is not there has no error")
	}
}
