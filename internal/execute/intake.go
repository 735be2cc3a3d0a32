package execute

import (
	"log/slog"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// An intake takes messages in, and lets on those whose requests may be called.
type intake struct {
	kit

	ledger  *ledger
	batches *poller
	gate    *gate
	claims  *claims
}

// receive enters deliveries into the ledger. Those that are messages of requests
// are under way from now on.
func (i *intake) receive(deliveries []Delivery) (jobs, unreadable []*job) {
	for _, d := range deliveries {
		j := i.ledger.receive(d)
		m, err := batch.DecodeMessage(d.Body)
		if err != nil {
			i.log.Error("not a message of a request", slog.String("message", d.MessageID), errAttr(err))
			unreadable = append(unreadable, j)
			continue
		}
		j.message = m
		i.ledger.begin(j)
		jobs = append(jobs, j)
	}
	return jobs, unreadable
}

// admit returns nil if j's request may be called now as far as can be told
// before its line is at hand.
func (i *intake) admit(j *job) error {
	polled, b, err := i.batches.get(j.ref())
	if err != nil {
		return err
	}
	if err := i.gate.open(polled); err != nil {
		return err
	}
	if j.delivery.Receives > 1 || j.isolated {
		return i.claims.look(j)
	}
	// A message's first receive finds its request as it was created, all but
	// always: the claim's own guard tells, and saves the read.
	body := state.Span{Offset: j.message.Offset, Length: j.message.Length}
	j.record = state.New(b.Spec(j.message.Line, "", body)).Record()
	return nil
}
