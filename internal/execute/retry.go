package execute

import (
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/state"
)

// rewriteEvery is the time between two rounds of writes of a retry.
const rewriteEvery = 5 * time.Second

// A dueRetry is a request that is to be pending again. Until it is written, what
// the upstream asked for is known to this worker alone and, once it has hidden
// the message, to the queue.
type dueRetry struct {
	change  state.Change
	pending state.Pending
	model   string     // as metrics name it
	kind    state.Kind // of the failure
}

func (*dueRetry) isResult() {}

// retries make retries durable.
type retries struct {
	kit

	requests   requests
	batches    *poller
	visibility *extender
}

// write makes a retry durable, and returns why the message's way ends. If it
// cannot be written the message is hidden for as long as the retry has to wait,
// so that it waits even if this worker dies, and it is written again until then,
// or until the batch or this worker stops. The lease keeps everybody else off;
// other jobs have the place and the memory.
func (s *retries) write(j *job, r *dueRetry) error {
	err := s.once(j, r)
	hidden := false
	for isCause(err, causeUnwritten) && s.clock().Before(r.pending.NotBefore) {
		if !hidden {
			hidden = s.visibility.withhold(j, r.pending.NotBefore.Sub(s.clock())) == nil
		}
		b := s.batches.entry(j.ref())
		select {
		case <-time.After(min(s.jitter(rewriteEvery), r.pending.NotBefore.Sub(s.clock()))):
		case <-b.ctx.Done():
			return s.abandon(b, hidden, r)
		}
		if _, _, err := s.batches.get(j.ref()); isCause(err, causeBatchEnded) {
			return err
		}
		err = s.once(j, r)
	}
	return err
}

// once writes a retry, and returns why the message's way ends.
func (s *retries) once(j *job, r *dueRetry) error {
	if err := s.requests.conclude(j, s.requests.apply(r.change)); err != nil {
		return err
	}
	s.log.Debug("retry", append(j.attrs(), slog.Int("attempt", r.pending.Attempt),
		slog.String("reason", r.pending.Last))...)
	s.metrics.Count(metric.Retries, 1, "model", r.model, "kind", string(r.kind))
	return endFor(causeBackoff, r.pending.NotBefore.Sub(s.clock()))
}

// abandon returns why a retry is not written: its batch or this worker stops.
func (s *retries) abandon(b *polled, hidden bool, r *dueRetry) error {
	why := endOf(b.ctx)
	switch {
	case !isCause(why, causeWorkerStopping):
		return why
	case hidden:
		return endFor(causeUnwrittenWait, 0)
	}
	return endFor(causeUnwrittenWait, r.pending.NotBefore.Sub(s.clock()))
}
