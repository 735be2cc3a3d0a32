// Program is for the tests of reach.
package main

import (
	"bytes"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"
)

type doer interface{ do() }

type (
	used   struct{}
	unmade struct{}
	other  struct{}
	list   struct{ sort.StringSlice }
	reader struct{ *strings.Reader }
)

func (used) do()    { fmt.Println("reached") }
func (used) undo()  { os.Exit(1) }
func (unmade) do()  { os.Getpid() }
func (other) stop() { os.Getppid() }

func (list) Len() int { return len(os.Environ()) }

func (reader) Read([]byte) (int, error) { return 0, os.ErrClosed }

func each[T any](all []T, f func(T)) {
	for _, v := range all {
		f(v)
	}
}

func main() {
	var d doer = used{}
	d.do()
	unmade{}.skip()
	var _ any = other{}
	sort.Sort(list{})
	var direct bytes.Buffer
	each([]string{"a"}, func(s string) { direct.WriteString(s) })
	defer time.Now()
}

func (unmade) skip() {}
