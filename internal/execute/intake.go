package execute

import (
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/state"
)

// An intake takes messages in, and lets on those whose requests may be called.
type intake struct {
	kit

	ledger  *ledger
	batches *poller
	places  *places
	gate    *gate
	claims  *claims
}

// receive takes in messages. Those of requests of which there is no other in hand
// are under way from now on, and have their places.
func (i *intake) receive(received []*job) (jobs, unreadable []*job) {
	i.observe(received)
	for _, j := range received {
		i.ledger.enter(j)
		m, err := batch.DecodeMessage(j.delivery.Body)
		if err != nil {
			i.log.Error("not a message of a request", slog.String("message", j.delivery.MessageID), errAttr(err))
			unreadable = append(unreadable, j)
			continue
		}
		j.message = m
		if i.ledger.begin(j) {
			i.places.take(j)
			jobs = append(jobs, j)
		}
	}
	return jobs, unreadable
}

// observe tells how long the oldest of what was received for the first time has
// waited for it.
func (i *intake) observe(received []*job) {
	now, age := i.clock(), time.Duration(-1)
	for _, j := range received {
		if d := j.delivery; d.Receives == 1 && !d.SentAt.IsZero() {
			age = max(age, now.Sub(d.SentAt), 0)
		}
	}
	if age >= 0 {
		i.metrics.Observe(metric.QueueAge, age.Seconds())
	}
}

// admit returns nil if j's request may be called now as far as can be told
// before its line is at hand.
func (i *intake) admit(j *job) error {
	polled, b, err := i.batches.get(j.ref())
	if err != nil {
		return err
	}
	if err := i.gate.open(polled, j, placeWait); err != nil {
		return err
	}
	if j.delivery.Receives > 1 || j.isolated {
		return i.claims.look(j)
	}
	// A message's first receive finds its request as it was created, all but
	// always: the claim's own guard tells, and saves the read.
	body := state.Span{Offset: j.message.Offset, Length: j.message.Length}
	spec := b.Spec(j.message.Line, batch.Input{}, body)
	spec.Model = j.message.Model
	j.record = state.New(spec).Record()
	return nil
}
