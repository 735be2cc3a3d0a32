package boot

import (
	"encoding/binary"
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
	// maxGroups bounds how many sets of labels wait for a Flush; more are written at once.
	maxGroups = 1000
	// maxAsked is the longest name with labels in bytes that is remembered as it came.
	maxAsked = 512
	// maxValues is how many values a metric has in a line
	// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
	maxValues = 100
	// stackLabel is the dimension of every metric: an account may have several
	// deployments.
	stackLabel = "stack"
)

// Metrics counts and writes CloudWatch's embedded metric format
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html):
// JSON lines on standard output, from which CloudWatch makes metrics without a
// call. It may be used by many goroutines at once.
type Metrics struct {
	w     io.Writer
	clock func() time.Time
	stack string

	mu     sync.Mutex
	groups map[string]*group          // by their labels
	asked  map[string]*group          // the same, by a metric's name and its labels as they came
	key    []byte                     // of asked; kept for the next
	seen   map[string]map[string]bool // the values of each metric's labels
}

// A group is what has the same labels, and is written as one line.
type group struct {
	labels []string // name, value, name, value, …
	totals map[string]float64
	values map[string][]float64
}

// NewMetrics returns a Metrics of the deployment called stack that writes to w.
func NewMetrics(w io.Writer, clock func() time.Time, stack string) *Metrics {
	return &Metrics{
		w: w, clock: clock, stack: clipLabel(stack), groups: make(map[string]*group), asked: make(map[string]*group),
		seen: make(map[string]map[string]bool),
	}
}

// Count adds n to the counter called name, whose labels are names and values
// in turn; a value is clipped to 255 bytes, and "other" once its label has had
// 200. What is counted is written by the next Flush.
func (m *Metrics) Count(name string, n int, labels ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.group(name, labels).totals[name] += float64(n)
}

// Observe adds value to the distribution called name, whose labels are as
// Count's.
func (m *Metrics) Observe(name string, value float64, labels ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.group(name, labels)
	if g.values[name] = append(g.values[name], value); len(g.values[name]) == maxValues {
		m.flush()
	}
}

// group returns the group of what is called name and has labels; m.mu is held.
func (m *Metrics) group(name string, labels []string) *group {
	m.key = append(m.key[:0], name...)
	for _, label := range labels {
		m.key = binary.AppendUvarint(m.key, uint64(len(label)))
		m.key = append(m.key, label...)
	}
	if g, ok := m.asked[string(m.key)]; ok {
		return g
	}
	g := m.groupOf(name, labels)
	if len(m.key) <= maxAsked && len(m.asked) < maxGroups {
		m.asked[string(m.key)] = g
	}
	return g
}

// groupOf returns the same, and makes it if there is none.
func (m *Metrics) groupOf(name string, labels []string) *group {
	labels = slices.Clone(labels[:len(labels)&^1])
	for i := 1; i < len(labels); i += 2 {
		labels[i] = m.known(name+"\x00"+labels[i-1], clipLabel(labels[i]))
	}
	key := strings.Join(labels, "\x00")
	g, ok := m.groups[key]
	if !ok {
		if len(m.groups) >= maxGroups {
			m.flush()
		}
		g = &group{labels: labels, totals: map[string]float64{}, values: map[string][]float64{}}
		m.groups[key] = g
	}
	return g
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

// Flush writes what moved since the last one.
func (m *Metrics) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flush()
}

func (m *Metrics) flush() {
	at := m.clock().UnixMilli()
	for _, key := range slices.Sorted(maps.Keys(m.groups)) {
		if line, err := m.groups[key].line(at, m.stack); err == nil {
			_, _ = m.w.Write(line) // a lost metric must not fail a request
		}
	}
	clear(m.groups)
	clear(m.asked)
}

// line returns g in the embedded metric format, with its newline.
func (g *group) line(at int64, stack string) ([]byte, error) {
	dimensions, out := []string{stackLabel}, map[string]any{stackLabel: stack}
	for i := 0; i < len(g.labels); i += 2 {
		dimensions = append(dimensions, g.labels[i])
		out[g.labels[i]] = g.labels[i+1]
	}
	var named []map[string]string
	for _, name := range slices.Sorted(maps.Keys(g.totals)) {
		out[name] = g.totals[name]
		named = append(named, map[string]string{"Name": name, "Unit": "Count"})
	}
	for _, name := range slices.Sorted(maps.Keys(g.values)) {
		out[name] = g.values[name]
		named = append(named, map[string]string{"Name": name, "Unit": unitOf(name)})
	}
	out["_aws"] = map[string]any{
		"Timestamp": at,
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": namespace, "Dimensions": [][]string{dimensions}, "Metrics": named,
		}},
	}
	line, err := json.Marshal(out)
	return append(line, '\n'), err
}

// unitOf returns CloudWatch's unit of a distribution, which ends its name
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html).
func unitOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_seconds"):
		return "Seconds"
	case strings.HasSuffix(name, "_bytes"):
		return "Bytes"
	}
	return "Count"
}
