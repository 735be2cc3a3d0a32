package execute

import (
	"context"
	"errors"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A reader reads the lines of requests, when there is room for their calls.
type reader struct {
	batches *poller
	chunks  *chunks
	calls   context.Context // bounds the wait for room
	room    *room
}

// read reads j's line and decodes it.
func (r *reader) read(j *job) error {
	var err error
	if j.hold, err = r.room.enter(r.calls, j.message.Length); err != nil {
		return endOf(r.calls)
	}
	b := r.batches.entry(j.ref()).last()
	line, err := r.chunks.line(batch.Extent{
		Key: batch.FileKey(b.Tenant, b.InputFileID), Offset: j.message.Offset, Length: j.message.Length,
	}, b.Load.Offset)
	switch {
	case errors.Is(err, batch.ErrNoObject):
		j.bad = errors.New("the batch's input file is gone")
	case err != nil:
		return err
	default:
		j.decode(line, b.Endpoint)
	}
	j.identify()
	return nil
}

// release gives back the room that j holds, but for its result line, which is
// copied once more into its segment.
func (r *reader) release(j *job, line []byte) {
	j.hold.keep(2 * int64(len(line)))
	j.input = batch.Input{}
}

// decode takes j's input from its line. The bytes are not trusted to be those
// that were validated.
func (j *job) decode(line []byte, endpoint string) {
	if j.input, j.bad = batch.DecodeInput(line); j.bad == nil {
		j.bad = j.input.ResolveURL(endpoint)
	}
}

// identify gives the request that j's first receive supposes the custom id
// that its line has.
func (j *job) identify() {
	if p, ok := j.record.Phase.(state.Pending); ok && p.ClaimID == "" && j.record.Spec.CustomID == "" {
		j.record.Spec.CustomID = j.input.CustomID
	}
}
