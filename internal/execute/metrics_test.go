package execute_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
)

// TestWorkIsMeasured has an event of three lines that wait for a minute in the queue and half a minute for their answers.
func TestWorkIsMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 3
		w := newWorld(t, input(lines))
		w.up.answer = around(25 * time.Second)
		w.sendAll(lines)
		event := w.deliver(10)
		for i := range event {
			event[i].SentAt = time.Now()
		}
		event[0].SentAt = time.Now().Add(-time.Minute)
		m := &machine{world: w}
		if failed := w.invoke(m, w.process(m, execute.Config{}), event); len(failed) > 0 {
			t.Fatalf("%d messages stay", len(failed))
		}
		w.done(allCompleted(lines)...)
		for key, want := range map[string]int{
			"calls_total{model,m}":       lines,
			"queue_age_seconds{}":        60,
			"queue_age_seconds values{}": 1,
			"segment_lines{}":            lines,
			"segment_lines values{}":     w.segments(),
			"segment_bytes values{}":     w.segments(),
		} {
			if got := w.stats.of(key); got != want {
				t.Errorf("%s is %d, want %d", key, got, want)
			}
		}
		if beats, calls := w.stats.of("calls_in_flight values{}"), w.stats.of("calls_in_flight{}"); beats == 0 || calls < lines {
			t.Errorf("%d calls were in flight at %d heartbeats", calls, beats)
		}
		if bytes := w.stats.of("segment_bytes{}"); bytes < 100*lines {
			t.Errorf("segments have %d bytes", bytes)
		}
	})
}

// TestAMessageFromTheFuture was sent by a clock that is ahead: it has not waited, and that
// is told. One that was received before, or that does not say when it was sent, is not.
func TestAMessageFromTheFuture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3))
		w.sendAll(3)
		event := w.deliver(10)
		event[0].SentAt = time.Now().Add(time.Second)
		event[1].SentAt, event[1].Receives = time.Now().Add(-time.Hour), 2
		m := &machine{world: w}
		w.invoke(m, w.process(m, execute.Config{}), event)
		if n, age := w.stats.of("queue_age_seconds values{}"), w.stats.of("queue_age_seconds{}"); n != 1 || age != 0 {
			t.Errorf("an age of %d s is told %d times", age, n)
		}
		w.done(allCompleted(3)...)
	})
}
