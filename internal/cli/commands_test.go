package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/cli"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		run batchRun
		age time.Duration
	}{
		"validating":  {batchRun{total: 10, perSecond: 1}, 0},
		"in-progress": {batchRun{total: 1000, perSecond: 10, failEvery: 50}, 33 * time.Second},
		"completed":   {batchRun{total: 100, perSecond: 10, failEvery: 50}, time.Minute},
		"waiting":     {batchRun{total: 100, perSecond: 1, waiting: waiting()}, 10 * time.Second},
		"refused":     {refused(), time.Minute},
		"expired":     {batchRun{total: 100, perSecond: 1, end: "expired", endAfter: 20 * time.Second}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.addBatch("batch_a", tt.run).metadata = map[string]string{"team": "search", "run": "7"}
				time.Sleep(tt.age) // of the bubble's time
				client := s.start()
				golden(t, "status/"+name, call{args: []string{"status", "batch_a"}, http: client}.run(t.Context(), t).session())
				golden(t, "status/"+name+"-json",
					call{args: []string{"status", "batch_a", "--json"}, http: client}.run(t.Context(), t).session())
			})
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_a", batchRun{total: 100, perSecond: 1, failEvery: 10})
		time.Sleep(15 * time.Second) // of the bubble's time
		client := s.start()
		golden(t, "cancel/running", call{args: []string{"cancel", "batch_a"}, http: client}.run(t.Context(), t).session())
		golden(t, "cancel/watched", call{args: []string{"watch", "batch_a"}, http: client}.run(t.Context(), t).session())
		golden(t, "cancel/again", call{args: []string{"cancel", "batch_a"}, http: client}.run(t.Context(), t).session())
	})
}

func TestCancelTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := ended(t, batchRun{total: 1, perSecond: 1})
		golden(t, "cancel/too-late", call{args: []string{"cancel", "batch_a"}, http: s.start()}.run(t.Context(), t).session())
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		client := s.start()
		golden(t, "list/none", call{args: []string{"list"}, http: client}.run(t.Context(), t).session())
		s.addBatch("batch_old", batchRun{total: 100, perSecond: 10, failEvery: 50})
		time.Sleep(time.Minute) // of the bubble's time
		s.addBatch("batch_new", batchRun{total: 100, perSecond: 10})
		golden(t, "list/two", call{args: []string{"list"}, http: client}.run(t.Context(), t).session())
		golden(t, "list/one", call{args: []string{"list", "--limit", "1"}, http: client}.run(t.Context(), t).session())
		golden(t, "list/after", call{args: []string{"list", "--after", "batch_new"}, http: client}.run(t.Context(), t).session())
		golden(t, "list/json", call{args: []string{"list", "--json"}, http: client}.run(t.Context(), t).session())
	})
}

func TestListPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		for i := range 250 {
			s.addBatch(fmt.Sprintf("batch_%03d", i), batchRun{total: 1})
		}
		r := call{args: []string{"list", "--limit", "240", "--json"}, http: s.start()}.run(t.Context(), t)
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		if r.code != cli.ExitOK || len(lines) != 240 || len(s.calls) != 3 {
			t.Fatalf("code %d, %d lines, %d calls", r.code, len(lines), len(s.calls))
		}
		for i, line := range lines {
			if want := fmt.Sprintf(`"id":"batch_%03d"`, 249-i); !strings.Contains(line, want) {
				t.Fatalf("line %d is %s, want %s", i, line, want)
			}
		}
	})
}
