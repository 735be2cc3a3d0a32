package cli_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/cli"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_a", batchRun{total: 900, perSecond: 10, failEvery: 7})
		time.Sleep(15 * time.Second) // of the bubble's time
		client := s.start()
		for name, args := range map[string][]string{
			"first":    {"--limit", "3"},
			"after":    {"--limit", "2", "--after", "batch_req_a_3"},
			"failed":   {"--status", "failed", "--limit", "2"},
			"search":   {"--search", "R14", "--limit", "30"},
			"far":      {"--search", "r899"},
			"reason":   {"--reason", "http_429", "--search", "r1", "--limit", "2"},
			"other":    {"--reason", "http_503"},
			"long":     {"--search", strings.Repeat("r", 257)},
			"nothing":  {"--search", "nobody"},
			"json":     {"--limit", "1", "--json"},
			"waiting":  {"batch_req_a_900"},
			"answered": {"batch_req_a_1"},
			"refused":  {"--custom-id", "r6"},
			"pending":  {"--custom-id", "r500", "--json"},
			"no-id":    {"batch_req_a_901"},
			"no-name":  {"--custom-id", "nobody\x1b[2J"},
			"bad":      {"--status", "done"},
		} {
			r := call{args: append([]string{"requests", "batch_a"}, args...), http: client}.run(t.Context(), t)
			golden(t, "requests/"+name, r.session())
		}
		s.old = true
		for name, args := range map[string][]string{
			"search": {"--search", "R14", "--limit", "30"},
			"far":    {"--search", "r899"},
			"reason": {"--reason", "http_429", "--search", "r1", "--limit", "2"},
			"other":  {"--reason", "http_503"},
		} {
			r := call{args: append([]string{"requests", "batch_a"}, args...), http: client}.run(t.Context(), t)
			golden(t, "requests/"+name, r.session())
		}
		s.foreign = true
		for name, args := range map[string][]string{
			"foreign": nil, "foreign-one": {"batch_req_a_1"},
		} {
			r := call{args: append([]string{"requests", "batch_a"}, args...), http: client}.run(t.Context(), t)
			golden(t, "requests/"+name, r.session())
		}
	})
}

// Of an ended batch a request's answer is found in a few reads, wherever it lies.
func TestStoryOfAnEndedBatch(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]func(line int) int{
		"short lines": func(int) int { return 700 },
		"some long": func(line int) int {
			if line == 301 || line == 4_000 {
				return 3 << 20
			}
			return line % 900
		},
		"a small file": func(int) int { return 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				run := batchRun{total: 6_000, perSecond: 1_000, failEvery: 10}
				b := s.addBatch("batch_a", run)
				var answers, failures []byte
				for line := 1; line <= run.total; line++ {
					if b.fails(line) {
						failures = append(failures, b.resultLine(line, 0)...)
					} else {
						answers = append(answers, b.resultLine(line, length(line))...)
					}
				}
				s.files["file-out-batch_a"], s.files["file-err-batch_a"] = answers, failures
				time.Sleep(time.Minute) // of the bubble's time
				client := s.start()
				for _, line := range []int{1, 2, 10, 299, 301, 302, 3_000, 3_999, 4_000, 4_001, 5_999, 6_000} {
					before := len(s.called("GET /files/"))
					r := call{args: []string{"requests", "batch_a", b.requestID(line), "--json"}, http: client}.run(t.Context(), t)
					want := bytes.TrimSpace(b.resultLine(line, length(line)))
					if r.code != cli.ExitOK || !strings.Contains(r.stdout, fmt.Sprintf(`"result":%s`, want)) {
						t.Errorf("line %d: code %d, %.300s %s", line, r.code, r.stdout, r.stderr)
					}
					if reads := len(s.called("GET /files/")) - before; reads > 60 {
						t.Errorf("line %d took %d reads", line, reads)
					}
				}
			})
		})
	}
}
