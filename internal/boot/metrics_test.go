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
	m := boot.NewMetrics(&out, func() time.Time { return time.UnixMilli(1700000000123) }, "Musketry")
	m.Count("retries", 1, "model", "a", "code", "")
	m.Count("retries", 2, "model", "a", "code", "")
	m.Count("calls", 5)
	m.Observe("age_seconds", 1.5)
	m.Observe("age_seconds", 3)
	m.Observe("size_bytes", 7)
	m.Observe("places", 2)
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
	meta := func(names []any, metrics ...[2]string) map[string]any {
		var named []any
		for _, m := range metrics {
			named = append(named, map[string]any{"Name": m[0], "Unit": m[1]})
		}
		return map[string]any{
			"Timestamp": 1700000000123.0,
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": "Musketry", "Dimensions": []any{append([]any{"stack"}, names...)}, "Metrics": named,
			}},
		}
	}
	want := []map[string]any{
		{
			"_aws":  meta(nil, [2]string{"calls", "Count"}, [2]string{"age_seconds", "Seconds"}, [2]string{"places", "Count"}, [2]string{"size_bytes", "Bytes"}),
			"stack": "Musketry", "calls": 5.0, "age_seconds": []any{1.5, 3.0}, "places": []any{2.0}, "size_bytes": []any{7.0},
		},
		{
			"_aws": meta([]any{"model", "code"}, [2]string{"retries", "Count"}), "stack": "Musketry", "retries": 3.0, "model": "a", "code": "none",
		},
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
	m := boot.NewMetrics(&out, time.Now, "")
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

// TestObservationsAreBounded demands that no line has more values than CloudWatch takes, and none is lost.
func TestObservationsAreBounded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := boot.NewMetrics(&out, time.Now, "")
	for i := range 250 {
		m.Observe("age_seconds", float64(i))
	}
	m.Flush()
	var sizes []int
	for dec := json.NewDecoder(&out); dec.More(); {
		var line struct {
			Age []float64 `json:"age_seconds"`
		}
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(line.Age))
	}
	if diff := cmp.Diff([]int{100, 100, 50}, sizes); diff != "" {
		t.Errorf("values a line (-want +got):\n%s", diff)
	}
}
