package checkout

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// fakePython writes a program that says of itself that it is good for a question, or not.
func fakePython(t *testing.T, path, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// A name on PATH may be pyenv's shim, which fails; the version that it stands for lies in pyenv's folder.
func TestPythonIsFoundByRunningIt(t *testing.T) {
	const good, old, shim = "exit 0", "exit 1", "echo 'pyenv: command not found' >&2; exit 127"
	tests := map[string]struct {
		onPath map[string]string
		pyenv  map[string]string
		want   string // Below the test's folder, or a name on PATH; empty for none.
	}{
		"the version itself":       {onPath: map[string]string{"python3.13": good, "python3": good}, want: "python3.13"},
		"the system's is newer":    {onPath: map[string]string{"python3": good}, want: "python3"},
		"the system's is too old":  {onPath: map[string]string{"python3": old, "python3.14": good}, want: "python3.14"},
		"a shim, and pyenv has it": {onPath: map[string]string{"python3.13": shim, "python3": old}, pyenv: map[string]string{"3.12.1": old, "3.13.0": good}, want: "pyenv/versions/3.13.0/bin/python3"},
		"a shim alone":             {onPath: map[string]string{"python3.13": shim}},
		"none":                     {},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for program, body := range tt.onPath {
				fakePython(t, filepath.Join(folder, "bin", program), body)
			}
			for version, body := range tt.pyenv {
				fakePython(t, filepath.Join(folder, "pyenv", "versions", version, "bin", "python3"), body)
			}
			t.Setenv("PATH", filepath.Join(folder, "bin"))
			c := Checkout{Environ: []string{"HOME=" + folder, "PYENV_ROOT=" + filepath.Join(folder, "pyenv")}}
			want := tt.want
			if filepath.Dir(want) != "." {
				want = filepath.Join(folder, want)
			}
			got, err := c.Python(t.Context(), PythonVersion{3, 13})
			if want == "" {
				if !errors.Is(err, ErrTool) {
					t.Errorf("got %q, %v, want %v", got, err, ErrTool)
				}
				return
			}
			if err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}
