package execute

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	// unsure is how long a message rests whose request's state is not known, or
	// whose batch is about to end.
	unsure = 10 * time.Second
	// absentRest is how long a message rests whose request is missing: it is
	// created with an outcome when its batch is sealed.
	absentRest = 10 * time.Minute
	// unreadable is how long a message rests that is none of ours, so that it
	// reaches the dead-letter queue without a hot loop.
	unreadable = 15 * time.Minute
)

// decode returns a job for every delivery that is a message of a request. The
// others stay in the queue: what cannot be read may not be dropped.
func (r *run) decode() []*job {
	jobs := make([]*job, 0, len(r.all))
	for _, d := range r.all {
		m, err := batch.DecodeMessage(d.Body)
		j := &job{delivery: d, message: m}
		if err != nil {
			r.log.Error("not a message of a request", slog.String("message", d.MessageID), errAttr(err))
			r.jobs.Go(func() { r.putBack(j, unreadable) })
			continue
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// take starts jobs, each as soon as it can be and behind no other: those of
// stopping batches are put aside before anything is read or claimed, and the
// lines of those that are ready at about the same time are fetched together.
func (r *run) take(jobs []*job) {
	r.ready.expect(len(jobs))
	for _, j := range jobs {
		r.jobs.Go(func() {
			err := r.admit(j)
			r.ready.admitted(j, err == nil)
			if err != nil {
				r.settle(j, nil, err)
			}
		})
	}
}

// admit returns nil if j's request may be called now as far as can be told
// before its line is at hand.
func (r *run) admit(j *job) error {
	w, b, err := r.watch.get(j.ref())
	if err != nil {
		return err
	}
	j.watched = w
	if err := r.mayStart(w); err != nil {
		return r.unclaimed(err)
	}
	if j.delivery.Receives <= 1 && !j.alone {
		// A message's first receive finds its request as it was created, all but
		// always: the claim's own guard tells, and saves the read.
		body := state.Span{Offset: j.message.Offset, Length: j.message.Length}
		j.record = state.New(b.Spec(j.message.Line, "", body)).Record()
		return nil
	}
	return r.look(j)
}

// look reads j's request and returns nil if it can be claimed.
func (r *run) look(j *job) error {
	rec, err := r.request(j)
	if err != nil {
		return err
	}
	j.record = rec
	_, err = r.claim(j, rec)
	return err
}

// request reads j's request. A request that is missing belongs to a batch that
// is gone; errOver says that it is.
func (r *run) request(j *job) (state.Record, error) {
	var rec state.Record
	err := r.persist(opLimit, func(ctx context.Context) error {
		var err error
		rec, err = r.Requests.Request(ctx, j.message.Key())
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return rec, r.absent(j)
	}
	return rec, err
}

// absent returns errOver if j's batch has ended, and puts j back otherwise.
func (r *run) absent(j *job) error {
	if _, err := r.watch.read(j.watched); errors.Is(err, errOver) {
		return err
	}
	return aside(r.jitter(absentRest), "its batch is alive and has no such request")
}
