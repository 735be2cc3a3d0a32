package execute

import (
	"context"
	"errors"

	"golang.org/x/sync/semaphore"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// callMemory is what a call takes of the memory budget besides its line: its
// buffers and a usual answer, in bytes.
const callMemory = 128 << 10

// A reader reads the lines of requests, within the memory budget.
type reader struct {
	batches *poller
	chunks  *chunks
	calls   context.Context     // bounds the wait for memory
	bytes   int64               // the budget
	budget  *semaphore.Weighted // what is left of it
}

// read reads j's line and decodes it.
func (r *reader) read(j *job) error {
	if err := r.reserve(j); err != nil {
		return err
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

// reserve waits until there is memory for j's line and its answer.
func (r *reader) reserve(j *job) error {
	j.reserved = min(j.message.Length+callMemory, r.bytes)
	if err := r.budget.Acquire(r.calls, j.reserved); err != nil {
		j.reserved = 0
		return endOf(r.calls)
	}
	return nil
}

// release gives back the memory that j holds, if it does.
func (r *reader) release(j *job) {
	r.budget.Release(j.reserved)
	j.reserved, j.input = 0, batch.Input{}
}

// decode takes j's input from its line. The bytes are not trusted to be those
// that were validated.
func (j *job) decode(line []byte, endpoint string) {
	if j.input, j.bad = batch.DecodeInput(line); j.bad == nil {
		j.bad = j.input.CheckURL(endpoint)
	}
}

// identify gives the request that j's first receive supposes the custom id
// that its line has.
func (j *job) identify() {
	if p, ok := j.record.Phase.(state.Pending); ok && p.ClaimID == "" && j.record.Spec.CustomID == "" {
		j.record.Spec.CustomID = j.input.CustomID
	}
}
