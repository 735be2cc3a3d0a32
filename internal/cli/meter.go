package cli

import "time"

const (
	// meterSpan is how far back a rate looks.
	meterSpan = time.Minute
	// meterSamples bounds what a meter remembers: a minute at two a second.
	meterSamples = 128
)

// A meter tells how fast something counts up. Its zero value is ready.
type meter struct{ samples []sample }

type sample struct {
	at   time.Time
	done int
}

// observe takes note that done things were done at a time, which must not lie
// before the last one noted.
func (m *meter) observe(at time.Time, done int) {
	m.samples = append(m.samples, sample{at: at, done: done})
	old := 0
	for old < len(m.samples)-2 && at.Sub(m.samples[old+1].at) >= meterSpan {
		old++
	}
	m.samples = m.samples[max(old, len(m.samples)-meterSamples):]
}

// rate returns how many things were done a second lately, 0 if that is unknown.
func (m *meter) rate() float64 {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.done <= first.done {
		return 0
	}
	return float64(last.done-first.done) / seconds
}

// remaining returns how long it takes until total things are done at the present
// rate, and false if that cannot be known.
func (m *meter) remaining(total int) (time.Duration, bool) {
	rate := m.rate()
	if rate == 0 {
		return 0, false
	}
	remaining := max(total-m.samples[len(m.samples)-1].done, 0)
	seconds := float64(remaining) / rate
	if seconds > float64(maxLeft/time.Second) {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// maxLeft is the longest time to go that is worth telling; batches live seven days.
const maxLeft = 7 * 24 * time.Hour
