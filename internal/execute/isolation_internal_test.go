package execute

import (
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

// TestWhoIsTakenUpAlone demands that a message which came with an event may be, and one
// that a busy worker received itself only when it was received for the fortieth time, one
// of them a worker.
func TestWhoIsTakenUpAlone(t *testing.T) {
	t.Parallel()
	received := func(times int, own bool) *job {
		return &job{delivery: batch.Delivery{Receives: times}, own: own}
	}
	s := &isolation{}
	if !s.may(received(3, false)) || s.isSpent() || s.isHeld() {
		t.Error("one that came with the event may not be taken up alone")
	}
	if s.may(received(39, true)) || !s.isSpent() || s.isHeld() {
		t.Error("one that came for the 39th time may be")
	}
	if !s.may(received(40, true)) || !s.isHeld() {
		t.Error("one that came for the 40th time may not be")
	}
	if s.may(received(41, true)) {
		t.Error("another one may be, too")
	}
	late := &isolation{}
	if !late.stream() || late.may(received(3, false)) || !late.may(received(40, false)) {
		t.Error("once a worker receives messages itself its event's are taken up like these")
	}
	waiting := &isolation{}
	waiting.add(received(3, false))
	if waiting.stream() || len(waiting.take()) != 1 || !waiting.stream() {
		t.Error("it receives messages itself before it has taken up what waits")
	}
}
