//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/route"
)

// TestOneRouteOfTwoDead has a model of two routes of which one answers nothing: each line has one answer, of the other.
func TestOneRouteOfTwoDead(t *testing.T) {
	t.Parallel()
	m, models := marker(t), map[string]string{}
	for name, dead := range map[string]route.Route{
		"refuses": {Name: "dead", BaseURL: "http://" + closedPort(t) + "/v1", Auth: route.Auth{Kind: route.None}, AllowPrivate: true},
		"hangs":   silentRoute(t),
		"503":     toStandin(t, "dead", "standin:status=503"),
	} {
		models[name] = strings.ToLower(m) + "-" + name
		putModel(t, route.Model{Pattern: models[name], Routes: []route.Route{dead, toStandin(t, "healthy", "standin:latency=100ms")}})
	}
	time.Sleep(routesKnown)
	for name, model := range models {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 300
			took := answeredOnce(t, newClient(t, "OPENAI_API_KEY"), n, model, m+"-"+name)
			tried := -n
			for _, called := range calls(t.Context(), t, m+"-"+name) {
				tried += called
			}
			t.Logf("%v, %d calls of the dead route at the stand-in", took.Round(time.Second/10), tried)
			if tried > n {
				t.Errorf("the dead route was called %d times for %d lines", tried, n)
			}
		})
	}
}

// closedPort returns an address of this machine at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // which is what it is for
	return listener.Addr().String()
}

// silentRoute returns a route that sends no byte, and is given up after three seconds.
func silentRoute(t *testing.T) route.Route {
	t.Helper()
	r := toStandin(t, "dead", "standin:hang")
	r.FirstByte = 3 * time.Second
	return r
}

// answeredOnce runs a batch of n requests of a model, and demands one answer for each. It returns how long it took from the order.
func answeredOnce(t *testing.T, c openai.Client, n int, model, m string) time.Duration {
	t.Helper()
	lines, order := make([]any, n), make([]string, n)
	for i := range lines {
		order[i] = fmt.Sprintf("line-%05d", i)
		lines[i] = chat(order[i], model, m)
	}
	file := upload(t.Context(), t, c, jsonl(t, lines...))
	begun := time.Now()
	b := create(t.Context(), t, c, file, "1h")
	b = await(t.Context(), t, c, b.ID, patience, ended)
	took := time.Since(begun)
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != int64(n) {
		t.Fatalf("batch ended %s", describe(b))
	}
	if diff := cmp.Diff(order, slices.Sorted(slices.Values(customIDs(results(t.Context(), t, c, b.OutputFileID))))); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	return took
}

// TestDeadModelBesideAHealthyOne has every call of one model hang, and those of another, of the same tenant and of another
// one, be answered as if it were alone.
func TestDeadModelBesideAHealthyOne(t *testing.T) {
	t.Parallel()
	m := marker(t)
	dead, healthy := strings.ToLower(m)+"-dead", strings.ToLower(m)
	putModel(t, route.Model{Pattern: dead, Routes: []route.Route{toStandin(t, "own", "standin:hang")}})
	putModel(t, route.Model{Pattern: healthy, Routes: []route.Route{toStandin(t, "own", "standin:latency=100ms")}})
	time.Sleep(routesKnown)
	defer hang300(t, newClient(t, "OPENAI_API_KEY"), dead, m+"-dead")()
	for _, key := range []string{"OPENAI_API_KEY", "OPENAI_API_KEY_2"} { // the same tenant, and another one
		took := answeredOnce(t, newClient(t, key), 300, healthy, m+"-"+key)
		t.Logf("%s: %v", key, took.Round(time.Second/10))
	}
}

// hang300 orders 300 requests of a model whose calls hang, and waits until some do. The function that it returns cancels
// them, and demands that none has an answer.
func hang300(t *testing.T, c openai.Client, model, m string) (end func()) {
	t.Helper()
	const n = 300
	lines := make([]any, n)
	for i := range lines {
		lines[i] = chat(fmt.Sprintf("dead-%05d", i), model, m)
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
	awaitCalls(t, m, 10)
	return func() {
		if _, err := c.Batches.Cancel(t.Context(), b.ID); err != nil {
			t.Fatal(err)
		}
		b = await(t.Context(), t, c, b.ID, patience, ended)
		if b.Status != openai.BatchStatusCancelled || b.RequestCounts.Completed != 0 {
			t.Errorf("the dead model's batch ended %s", describe(b))
		}
	}
}
