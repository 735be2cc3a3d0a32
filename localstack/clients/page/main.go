// Command page writes docs/clients.md, the matrix of package clients with the versions that the checkout pins. Its argument is
// the checkout's root.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/musketry/musketry/localstack/clients"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the checkout's root, got %q", args)
	}
	page, err := clients.Page(os.DirFS(args[0]))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(args[0], "docs", "clients.md"), []byte(page), 0o644) //nolint:gosec // a document
}
