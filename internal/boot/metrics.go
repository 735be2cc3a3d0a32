package boot

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// namespace is the CloudWatch namespace of every metric.
	namespace = "Musketry"
	// noLabel stands for an empty label: CloudWatch refuses an empty dimension
	// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html).
	noLabel = "none"
	// otherLabel stands for the labels beyond maxLabels.
	otherLabel = "other"
	// maxLabel is the longest label in bytes, well under CloudWatch's 1,024.
	maxLabel = 255
	// maxLabels is how many values one label of a counter has in a process:
	// CloudWatch takes money for each set of them that it has seen
	// (https://aws.amazon.com/cloudwatch/pricing/). Callers keep to a few; this
	// bounds those who do not.
	maxLabels = 200
	// maxSeries bounds how many counters wait for a Flush; more are written at once.
	maxSeries = 1000
)

// Metrics counts and writes CloudWatch's embedded metric format
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html):
// JSON lines on standard output, from which CloudWatch makes metrics without a
// call. It may be used by many goroutines at once.
type Metrics struct {
	w     io.Writer
	clock func() time.Time

	mu     sync.Mutex
	series map[string]*series
	seen   map[string]map[string]bool // the values of each counter's labels
}

type series struct {
	name   string
	labels []string // name, value, name, value, …
	total  float64
}

// NewMetrics returns a Metrics that writes to w.
func NewMetrics(w io.Writer, clock func() time.Time) *Metrics {
	return &Metrics{w: w, clock: clock, series: make(map[string]*series), seen: make(map[string]map[string]bool)}
}

// Count adds n to the counter called name, whose labels are names and values
// in turn; a value is clipped to 255 bytes, and "other" once its label has had
// 200. What is counted is written by the next Flush.
func (m *Metrics) Count(name string, n int, labels ...string) {
	labels = slices.Clone(labels[:len(labels)&^1])
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 1; i < len(labels); i += 2 {
		labels[i] = m.known(name+"\x00"+labels[i-1], clipLabel(labels[i]))
	}
	key := name + "\x00" + strings.Join(labels, "\x00")
	s, ok := m.series[key]
	if !ok {
		if len(m.series) >= maxSeries {
			m.flush()
		}
		s = &series{name: name, labels: labels}
		m.series[key] = s
	}
	s.total += float64(n)
}

// known returns value, or otherLabel if label has had too many others; m.mu is
// held.
func (m *Metrics) known(label, value string) string {
	values, ok := m.seen[label]
	if !ok {
		values = make(map[string]bool)
		m.seen[label] = values
	}
	switch {
	case values[value]:
	case len(values) >= maxLabels:
		return otherLabel
	default:
		values[value] = true
	}
	return value
}

// clipLabel returns value as CloudWatch takes it. It does not hold on to value.
func clipLabel(value string) string {
	value = strings.ToValidUTF8(strings.Clone(value[:min(len(value), maxLabel)]), "")
	if strings.TrimSpace(value) == "" { // nothing but white space is refused too
		return noLabel
	}
	return value
}

// Flush writes a line for every counter that moved, and sets them to 0.
func (m *Metrics) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flush()
}

func (m *Metrics) flush() {
	at := m.clock().UnixMilli()
	for _, key := range slices.Sorted(maps.Keys(m.series)) {
		if line, err := m.series[key].line(at); err == nil {
			_, _ = m.w.Write(line) // a lost metric must not fail a request
		}
	}
	clear(m.series)
}

// line returns s in the embedded metric format, with its newline.
func (s *series) line(at int64) ([]byte, error) {
	names := []string{}
	out := map[string]any{s.name: s.total}
	for i := 0; i < len(s.labels); i += 2 {
		names = append(names, s.labels[i])
		out[s.labels[i]] = s.labels[i+1]
	}
	out["_aws"] = map[string]any{
		"Timestamp": at,
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace":  namespace,
			"Dimensions": [][]string{names},
			"Metrics":    []any{map[string]string{"Name": s.name, "Unit": "Count"}},
		}},
	}
	line, err := json.Marshal(out)
	return append(line, '\n'), err
}
