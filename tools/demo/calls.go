package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// askTimeout bounds the question for the counts.
const askTimeout = 5 * time.Second

// calls counts what was called, by service and operation, as the local engine counted it.
type calls map[string]int

// countCalls asks the engine for its counts. An engine that does not count, whatever it answers or does not, gives none: the
// demonstration does without.
func countCalls(ctx context.Context, engine string) calls {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, engine+"/_musketry/calls", http.NoBody)
	if err != nil {
		return nil
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	var counted calls
	if response.StatusCode != http.StatusOK || json.NewDecoder(response.Body).Decode(&counted) != nil {
		return nil
	}
	return counted
}

// without gives what was called since an earlier count.
func (c calls) without(earlier calls) calls {
	since := calls{}
	for name, number := range c {
		if number > earlier[name] {
			since[name] = number - earlier[name]
		}
	}
	return since
}

// show tells each operation's calls, and how many that is a request.
func (c calls) show(out io.Writer, requests int) {
	if len(c) == 0 {
		fmt.Fprintln(out, "AWS calls: this engine does not count them")
		return
	}
	fmt.Fprintf(out, "AWS calls, as the engine counted them:\n")
	for _, name := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(out, "  %-52s %6d  %.2f a request\n", name, c[name], float64(c[name])/float64(max(1, requests)))
	}
}
