//go:build e2e && bench && linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/route"
)

// TestMeasureDead runs 600 requests of half a second alone, beside a model whose calls all hang, and by two routes of which
// one refuses connections, each twice in turn.
func TestMeasureDead(t *testing.T) { //nolint:paralleltest // alone
	const n, rounds = 600, 2
	m := marker(t)
	name := func(kind string) string { return strings.ToLower(m) + "-" + kind }
	healthy := toStandin(t, "healthy", "standin:latency=500ms")
	putModel(t, route.Model{Pattern: name("alone"), Routes: []route.Route{healthy}})
	putModel(t, route.Model{Pattern: name("hangs"), Routes: []route.Route{toStandin(t, "own", "standin:hang")}})
	putModel(t, route.Model{Pattern: name("two"), Routes: []route.Route{healthy, {
		Name: "dead", BaseURL: "http://" + closedPort(t) + "/v1", Auth: route.Auth{Kind: route.None}, AllowPrivate: true,
	}}})
	time.Sleep(routesKnown)
	took := func(key, kind string, round int) time.Duration {
		return answeredOnce(t, newClient(t, key), n, name(kind), fmt.Sprintf("%s-%s-%s-%d", m, kind, key, round))
	}
	took("OPENAI_API_KEY", "alone", 0) // what is cold is warm
	for round := 1; round <= rounds; round++ {
		alone := took("OPENAI_API_KEY", "alone", round)
		two := took("OPENAI_API_KEY", "two", round)
		end := hang300(t, newClient(t, "OPENAI_API_KEY"), name("hangs"), fmt.Sprintf("%s-hangs-%d", m, round))
		beside := took("OPENAI_API_KEY", "alone", round+rounds)
		other := took("OPENAI_API_KEY_2", "alone", round)
		end()
		figures("Local/dead/call=500ms/lines=600", alone, beside.Seconds()/alone.Seconds(), "beside/alone",
			other.Seconds()/alone.Seconds(), "of-another-tenant/alone", two.Seconds()/alone.Seconds(), "one-route-of-two/alone")
	}
}

// TestMeasureInflight runs 6,000 requests of 20 s, and asks the stand-in how many calls were in flight at once: of all worker
// processes, so that one has at least their mean.
func TestMeasureInflight(t *testing.T) { //nolint:paralleltest // alone
	const n = 6_000
	m := marker(t)
	model := strings.ToLower(m)
	putModel(t, route.Model{Pattern: model, Routes: []route.Route{toStandin(t, "own", "standin-"+model+":latency=20s")}})
	time.Sleep(routesKnown)
	workers := 0
	r := runBatch(t, n, model, func() { workers = len(functionProcesses(variable(t, "AWS_ENDPOINT_URL"), "Execute")) })
	var counted struct {
		ByModel map[string]struct {
			MaxInFlight int `json:"max_in_flight"`
		} `json:"by_model"`
	}
	standin(t.Context(), t, "/standin/stats", &counted)
	most := 0
	for name, s := range counted.ByModel {
		if strings.HasPrefix(name, "standin-"+model) {
			most = s.MaxInFlight
		}
	}
	figures("Local/inflight/call=20s/lines=6000", r.ended.Sub(r.created), most, "calls-in-flight", workers, "workers",
		float64(most)/float64(max(workers, 1)), "calls-in-flight/worker")
}
