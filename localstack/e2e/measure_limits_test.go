//go:build e2e && bench && linux

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/route"
)

// A ration is what a model is allowed, and how its requests look.
type ration struct {
	rpm, tpm, slots int
	lines           int
	latency         string
	tokens          func(line int) int // that a line asks for; nil: it does not say
}

func (r ration) unit() (name string, allowed int) {
	switch {
	case r.rpm > 0:
		return "rpm", r.rpm
	case r.tpm > 0:
		return "tpm", r.tpm
	}
	return "slots", r.slots
}

// TestMeasureLimits runs models that are limited, each in its own way, all at once, by ten worker processes of which half are
// killed in the middle. The stand-in holds the same limits, and counts what is beyond them.
func TestMeasureLimits(t *testing.T) { //nolint:paralleltest // it kills workers
	mixed := func(line int) int { return 100 + line*7919%39*100 } // 100 to 3,900, in no order
	rations := map[string]ration{
		"rpm":   {rpm: 600, lines: 1_300, latency: "100ms..3s"},
		"tpm":   {tpm: 600_000, lines: 750, latency: "100ms..3s", tokens: mixed},
		"slots": {slots: 20, lines: 600, latency: "1s..5s"},
	}
	m := marker(t)
	limits := map[string]map[string]int{}
	for name, r := range rations {
		limits["standin-"+name] = map[string]int{"rpm": r.rpm, "tpm": r.tpm, "max_concurrency": r.slots}
		way := toStandin(t, "own", "standin-"+name+":latency="+r.latency)
		way.RPM, way.TPM, way.MaxConcurrency = r.rpm, r.tpm, r.slots
		putModel(t, route.Model{Pattern: strings.ToLower(m) + "-" + name, Routes: []route.Route{way}})
	}
	limitStandin(t, limits)
	time.Sleep(routesKnown)
	var runs sync.WaitGroup
	begun := time.Now()
	for name, r := range rations {
		runs.Go(func() { r.measure(t, name, strings.ToLower(m)+"-"+name, m) })
	}
	time.Sleep(time.Until(begun.Add(time.Minute)))
	killed := killHalf(t)
	runs.Wait()
	for name := range rations {
		s := seen(t).Limits["standin-"+name]
		figures("Local/limits/"+name+"/beyond", time.Since(begun), s.OverRPM+s.OverTPM+s.OverConcurrency, "calls-beyond", killed, "killed-workers")
	}
}

// killHalf kills every second worker process, and returns how many.
func killHalf(t *testing.T) int {
	t.Helper()
	killed := 0
	for i, folder := range functionProcesses(variable(t, "AWS_ENDPOINT_URL"), "Execute") {
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil && i%2 == 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// limitStandin sets the stand-in's limits, by model.
func limitStandin(t *testing.T, limits any) {
	t.Helper()
	body, err := json.Marshal(limits)
	if err != nil {
		t.Fatal(err)
	}
	base, _, _ := strings.Cut(variable(t, "STANDIN_URL"), "/v1")
	if status, answer := send(t, http.MethodPut, base+"/standin/limits", "", "application/json", body); status != http.StatusOK {
		t.Fatalf("the stand-in takes no limits: %d %s", status, answer)
	}
}

// A sight is what the stand-in has counted.
type sight struct {
	at      time.Time
	ByModel map[string]struct {
		InFlight int `json:"in_flight"`
	} `json:"by_model"`
	Limits map[string]struct {
		Accepted        int `json:"accepted"`
		Tokens          int `json:"tokens"`
		OverConcurrency int `json:"over_concurrency"`
		OverRPM         int `json:"over_rpm"`
		OverTPM         int `json:"over_tpm"`
	} `json:"limits"`
}

func seen(t *testing.T) sight {
	t.Helper()
	s := sight{at: time.Now()}
	standin(t.Context(), t, "/standin/stats", &s)
	return s
}

// measure runs r's batch, and tells which part of what is allowed was used from the first call until but a twentieth of
// the lines was called, and for how long no call came.
func (r ration) measure(t *testing.T, name, model, m string) {
	t.Helper()
	c := newClient(t, "OPENAI_API_KEY")
	lines := make([]any, r.lines)
	for i := range lines {
		l := chat(fmt.Sprintf("%s-%05d", name, i), model, m+"-"+name)
		if r.tokens != nil {
			l.Body.(map[string]any)["max_tokens"] = r.tokens(i)
		}
		lines[i] = l
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
	ctx, cancel := context.WithCancel(t.Context())
	var sights []sight
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil {
			sights = append(sights, seen(t)) //nolint:contextcheck // a look ends with the test
			time.Sleep(500 * time.Millisecond)
		}
	})
	b = await(t.Context(), t, c, b.ID, measured, ended)
	cancel()
	watch.Wait()
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != int64(r.lines) {
		t.Errorf("%s: batch ended %s", name, describe(b))
	}
	r.tell(name, sights)
}

func (r ration) tell(name string, sights []sight) {
	standin, first, last := "standin-"+name, 0, 0
	var stall time.Duration
	moved, used := time.Time{}, 0.0
	var trail strings.Builder
	for i, s := range sights {
		n := s.Limits[standin].Accepted
		if n == 0 {
			first, moved = i, s.at
			continue
		}
		if n > r.lines*95/100 {
			break
		}
		if n > sights[last].Limits[standin].Accepted {
			stall, moved = max(stall, s.at.Sub(moved)), s.at
		}
		flying := s.ByModel[standin+":latency="+r.latency].InFlight
		used += float64(flying) * s.at.Sub(sights[i-1].at).Seconds()
		if last = i; i%10 == 0 {
			fmt.Fprintf(&trail, " %d/%d", n, flying)
		}
	}
	over := sights[last].at.Sub(sights[first].at)
	switch unit, allowed := r.unit(); unit {
	case "rpm":
		used = float64(sights[last].Limits[standin].Accepted) / over.Minutes() / float64(allowed)
	case "tpm":
		used = float64(sights[last].Limits[standin].Tokens) / over.Minutes() / float64(allowed)
	default:
		used /= over.Seconds() * float64(allowed)
	}
	fmt.Println("# accepted and in flight each 5 s:" + trail.String())
	figures("Local/limits/"+name, over, used*100, "%used", stall.Seconds(), "longest-stall-sec")
}
