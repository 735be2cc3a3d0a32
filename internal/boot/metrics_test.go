package boot_test

import (
	"bytes"
	"encoding/json"
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
