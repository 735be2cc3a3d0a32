package boot_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/boot"
)

func TestMetricsFlush(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := boot.NewMetrics(&out, func() time.Time { return time.UnixMilli(1700000000123) })
	m.Count("retries", 1, "model", "a", "code", "")
	m.Count("retries", 2, "model", "a", "code", "")
	m.Count("calls", 5)
	m.Flush()
	m.Flush() // nothing moved: nothing is written

	got := []map[string]any{}
	for dec := json.NewDecoder(&out); dec.More(); {
		line := map[string]any{}
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	meta := func(metric string, names ...any) map[string]any {
		return map[string]any{
			"Timestamp": 1700000000123.0,
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace":  "Musketry",
				"Dimensions": []any{append([]any{}, names...)},
				"Metrics":    []any{map[string]any{"Name": metric, "Unit": "Count"}},
			}},
		}
	}
	want := []map[string]any{
		{"_aws": meta("calls"), "calls": 5.0},
		{"_aws": meta("retries", "model", "code"), "retries": 3.0, "model": "a", "code": "none"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestLabelsAreBounded demands that no label keeps a long value, nor makes more
// metrics than a few, whoever counts.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := boot.NewMetrics(&out, time.Now)
	long := strings.Repeat("ä", 5_000_000)
	for i := range 5_000 {
		m.Count("calls", 1, "model", strconv.Itoa(i), "kind", strings.Repeat(" ", i))
	}
	m.Count("retries", 1, "model", long)
	m.Count("retries", 1, "model", long+"b") // the same, clipped
	m.Flush()
	metrics, longest := map[string]float64{}, 0
	for dec := json.NewDecoder(&out); dec.More(); {
		var line struct {
			Calls, Retries float64
			Model, Kind    string
		}
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		metrics[line.Model+"/"+line.Kind] += line.Calls + line.Retries
		longest = max(longest, len(line.Model), len(line.Kind))
	}
	if len(metrics) != 202 || metrics["other/none"] != 4_800 || longest > 255 {
		t.Errorf("%d metrics, %v of others, the longest label has %d bytes", len(metrics), metrics["other/none"], longest)
	}
}
