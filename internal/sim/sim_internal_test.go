package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// definitionOf returns the flow's definition: the one that is deployed, or one
// with a bug in it, which MUSKETRY_SIM_FLOW names.
func definitionOf(t *testing.T) *definition {
	t.Helper()
	text, err := os.ReadFile(cmp.Or(os.Getenv("MUSKETRY_SIM_FLOW"), filepath.Join(root, flow))) //nolint:gosec // what the test was told
	if err != nil {
		t.Fatal(err)
	}
	d, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// number reads an environment variable that make sets.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// simulate runs a seed. A run that hangs is told with all stacks.
func simulate(t *testing.T, seed uint64, p *plan, d *definition, trace io.Writer) (r report) {
	t.Helper()
	hung := time.AfterFunc(5*time.Minute, func() {
		stacks := make([]byte, 1<<22)
		panic(fmt.Sprintf("seed %d hangs\n%s", seed, stacks[:runtime.Stack(stacks, true)]))
	})
	defer hung.Stop()
	done := false
	defer func() {
		if !done {
			fmt.Printf("seed %d did not come to its end\n", seed)
		}
	}()
	synctest.Test(t, func(*testing.T) { r = run(seed, p, d, trace) })
	done = true
	return r
}

// A summary adds up what runs brought.
type summary struct {
	mu     sync.Mutex
	hits   map[fault]int
	passes map[string]int
	turns  int
	failed int
}

func (s *summary) add(r report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, n := range r.hits {
		s.hits[k] += n
	}
	for k, n := range r.passes {
		s.passes[k] += n
	}
	s.turns += r.turns
	if len(r.finds) > 0 {
		s.failed++
	}
}

// found returns how many runs brought findings.
func (s *summary) found() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// TestSeeds runs MUSKETRY_SIM_SEEDS seeds from MUSKETRY_SIM_FIRST on, those
// with an even number in liveness mode, the others in safety mode. Or it replays
// the one that MUSKETRY_SIM_SEED names.
func TestSeeds(t *testing.T) { //nolint:tparallel // the sum waits for what runs in parallel
	t.Parallel()
	if os.Getenv("MUSKETRY_SIM_SEED") != "" {
		replay(t, number(t, "MUSKETRY_SIM_SEED", 0))
		return
	}
	usual := uint64(300)
	if testing.Short() {
		usual = 60
	}
	seeds, first := number(t, "MUSKETRY_SIM_SEEDS", usual), number(t, "MUSKETRY_SIM_FIRST", 0)
	d := definitionOf(t)
	sum := &summary{hits: map[fault]int{}, passes: map[string]int{}}
	next := make(chan uint64)
	stop := os.Getenv("MUSKETRY_SIM_STOP") != "" // at the first finding
	began := time.Now()
	t.Run("seeds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				for seed := range next {
					r := simulate(t, seed, newPlan(seed), d, nil)
					sum.add(r)
					if len(r.finds) > 0 {
						t.Errorf("%v\nreplay it: make sim SEED=%d", r, seed)
					}
				}
			})
		}
		go func() {
			defer close(next)
			for seed := first; seed < first+seeds && (!stop || sum.found() == 0); seed++ {
				next <- seed
			}
		}()
	})
	t.Logf("%d seeds in %v, %d failed, %d turns", seeds, time.Since(began).Round(time.Second), sum.failed, sum.turns)
	for _, k := range slices.Sorted(slices.Values(allFaults())) {
		t.Logf("%8d %s", sum.hits[k], k)
		if sum.hits[k] == 0 && seeds >= 300 && !stop {
			t.Errorf("no seed had: %s", k)
		}
	}
	for k := range sum.hits {
		if !slices.Contains(allFaults(), k) {
			t.Errorf("not among all faults: %s", k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(sum.passes)) {
		t.Logf("%8d %s", sum.passes[k], k)
	}
	for _, k := range allPasses() {
		if sum.passes[k] == 0 && seeds >= 300 && !stop {
			t.Errorf("no seed had: %s", k)
		}
	}
}

// replay runs one seed and tells its log.
func replay(t *testing.T, seed uint64) {
	t.Helper()
	r := simulate(t, seed, newPlan(seed), definitionOf(t), os.Stdout)
	t.Log(r)
	if len(r.finds) > 0 {
		t.Fail()
	}
}

// TestSeedsReplayExactly runs 20 seeds 20 times.
func TestSeedsReplayExactly(t *testing.T) {
	t.Parallel()
	d := definitionOf(t)
	for seed := range number(t, "MUSKETRY_SIM_REPLAYS", 20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			var first bytes.Buffer
			roomy := func() *plan {
				p := newPlan(seed)
				p.places = []int{manyPlaces, 10, 3}[seed%3]
				return p
			}
			want := simulate(t, seed, roomy(), d, &first)
			times := 20
			if testing.Short() {
				times = 3
			}
			for range times - 1 {
				var again bytes.Buffer
				if r := simulate(t, seed, roomy(), d, &again); r.sum != want.sum {
					t.Fatalf("it went another way:\n%s", fork(first.String(), again.String()))
				}
			}
		})
	}
}

// fork returns where two logs part.
func fork(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return strings.Join(slices.Concat(x[max(i-5, 0):min(i+4, len(x))], []string{"or"}, y[i:min(i+4, len(y))]), "\n")
		}
	}
	return "one is longer"
}
