// Command mutants asks whether the tests of the core notice: it plants mutants, one after another, and runs a package's
// own tests with each, and, if these pass, the simulation.
//
// The mutants are those that gremlins finds (https://github.com/go-gremlins/gremlins), of all kinds that it tries by
// default, in functions and in constants. It says where they are; they are planted here, by go's -overlay, because with
// gremlins alone one that does not compile counts as killed, and the simulation cannot be asked. A mutant that does not
// end in time counts neither as killed nor as living.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var f trial
	flag.StringVar(&f.gremlins, "gremlins", "", "the program that finds mutants")
	flag.StringVar(&f.equivalent, "equivalent", "tools/mutants/equivalent.txt", "the mutants that nothing can notice")
	files := flag.String("files", "", "a regular expression: the mutants of these files alone, and no floor")
	flag.IntVar(&f.seeds, "seeds", 60, "how many seeds the simulation runs with a mutant that a package's own tests let pass; 0: it is not asked")
	flag.Parse()
	f.out, f.env = os.Stdout, os.Environ()
	var err error
	if f.files, err = regexp.Compile(*files); err == nil {
		err = f.run(ctx, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1) //nolint:gocritic // the context ends with the process
	}
}
