package cli_test

import (
	"fmt"
	"slices"
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
				tt.run.retrying = 4
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

// A list has the same batches whether the server filters, does not know filters,
// or takes no notice of them; names of files only the server's own search knows.
func TestListFilters(t *testing.T) {
	t.Parallel()
	for name, tune := range map[string]func(*server){
		"ours":   func(s *server) { s.looks = 1 }, // most pages are empty
		"old":    func(s *server) { s.old = true },
		"others": func(s *server) { s.foreign = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testListFilters(t, name, tune) })
		})
	}
}

func testListFilters(t *testing.T, kind string, tune func(*server)) {
	t.Helper()
	s := newServer(t)
	tune(s)
	run := batchRun{total: 10, perSecond: 1}
	if kind != "others" {
		run.waiting = []map[string]any{}
	}
	s.addBatch("batch_old", run).metadata = map[string]string{"team": "search"}
	time.Sleep(2 * time.Hour) // of the bubble's time
	other := s.addBatch("batch_other", run)
	other.metadata, other.inputFile = map[string]string{"team": "ads"}, "file-other"
	s.names["file-other"] = "Nightly.jsonl"
	run.perSecond = 0
	s.addBatch("batch_new", run).metadata = map[string]string{"team": "search"}
	time.Sleep(time.Minute) // of the bubble's time
	client := s.start()
	named := map[string]string{"ours": "batch_other"}[kind]
	for name, tt := range map[string]struct {
		args []string
		want string // the batches
	}{
		"status":       {[]string{"--status", "completed"}, "batch_other batch_old"},
		"two statuses": {[]string{"--status", "completed,in_progress"}, "batch_new batch_other batch_old"},
		"metadata":     {[]string{"--metadata", "team=search"}, "batch_new batch_old"},
		"since":        {[]string{"--since", "1h"}, "batch_new batch_other"},
		"search":       {[]string{"--search", "ADS"}, "batch_other"},
		"search id":    {[]string{"--search", "_OLD"}, "batch_old"},
		"search name":  {[]string{"--search", "nightly"}, named},
		"endpoint":     {[]string{"--search", "completions"}, ""},
		"all of them":  {[]string{"--metadata", "team=search", "--since", "1d", "--status", "completed"}, "batch_old"},
		"both":         {[]string{"--search", "search", "--status", "completed"}, "batch_old"},
		"limit":        {[]string{"--metadata", "team=search", "--limit", "1"}, "batch_new"},
		"nothing":      {[]string{"--metadata", "team=nobody"}, ""},
	} {
		r := call{args: append([]string{"list"}, tt.args...), http: client}.run(t.Context(), t)
		var got []string
		for _, line := range strings.Split(r.stdout, "\n")[min(1, strings.Count(r.stdout, "\n")):] {
			if id, _, _ := strings.Cut(line, " "); id != "" {
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != tt.want || r.code != cli.ExitOK {
			t.Errorf("%s: %q\n%s", name, got, r.session())
		}
		if unlooked := strings.Contains(r.stderr, "names"); unlooked != (kind != "ours" && slices.Contains(tt.args, "--search")) {
			t.Errorf("%s: that names were not looked at is said: %t", name, unlooked)
		}
	}
	golden(t, "list/none-matches", call{args: []string{"list", "--status", "failed"}, http: client}.run(t.Context(), t).session())
	args := []string{"list", "--status", "completed", "--since", "1d", "--metadata", "team=ads", "--limit", "1"}
	golden(t, "list/next", call{args: args, http: client}.run(t.Context(), t).session())
}

// What ends a list is the number of its calls too.
func TestListBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.looks = 1
		for i := range 120 {
			s.addBatch(fmt.Sprintf("batch_%03d", i), batchRun{total: 1})
		}
		client := s.start()
		golden(t, "list/bounded", call{args: []string{"list", "--search", "batch_00"}, http: client}.run(t.Context(), t).session())
		if n := len(s.called("GET /batches")); n != 100 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestCancelSeveral(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_done", batchRun{total: 1, perSecond: 1})
		time.Sleep(time.Minute) // of the bubble's time
		s.addBatch("batch_a", batchRun{total: 100})
		s.addBatch("batch_b", batchRun{total: 100})
		client := s.start()
		golden(t, "cancel/several", call{args: []string{"cancel", "batch_done", "batch_a", "batch_none"}, http: client}.run(t.Context(), t).session())
		golden(t, "cancel/all-unasked", call{args: []string{"cancel", "--all"}, http: client}.run(t.Context(), t).session())
		golden(t, "cancel/all-no", call{
			args: []string{"cancel", "--all"}, asks: true, stdin: strings.NewReader("n\n"), http: client,
		}.run(t.Context(), t).session())
		golden(t, "cancel/all-yes", call{
			args: []string{"cancel", "--all"}, asks: true, stdin: strings.NewReader("Yes\n"), http: client,
		}.run(t.Context(), t).session())
		golden(t, "cancel/all-none", call{args: []string{"cancel", "--all", "--yes", "--json"}, http: client}.run(t.Context(), t).session())
	})
}

func TestFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		for i := range 3 {
			id := fmt.Sprintf("file-%d", i)
			s.files[id], s.names[id] = make([]byte, 1_200*i), "in\x1b[2J.jsonl"
		}
		client := s.start()
		golden(t, "files/list", call{args: []string{"files", "list"}, http: client}.run(t.Context(), t).session())
		golden(t, "files/limit", call{args: []string{"files", "list", "--limit", "1"}, http: client}.run(t.Context(), t).session())
		golden(t, "files/after", call{args: []string{"files", "list", "--after", "file-1", "--json"}, http: client}.run(t.Context(), t).session())
		golden(t, "files/other", call{args: []string{"files", "list", "--purpose", "batch_output"}, http: client}.run(t.Context(), t).session())
		golden(t, "files/delete", call{args: []string{"files", "delete", "file-9", "file-1"}, http: client}.run(t.Context(), t).session())
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.limits["key"].(map[string]any)["expires_at"] = 946684800 + 3*24*3600
		s.limits["key"].(map[string]any)["read_only"] = true
		client := s.start()
		golden(t, "limits/text", call{args: []string{"usage"}, http: client}.run(t.Context(), t).session())
		golden(t, "limits/json", call{args: []string{"usage", "--json"}, http: client}.run(t.Context(), t).session())
		s.foreign = true
		golden(t, "limits/foreign", call{args: []string{"usage"}, http: client}.run(t.Context(), t).session())
	})
}
