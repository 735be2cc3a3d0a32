package execute

import (
	"bytes"
	"context"
	"errors"

	"golang.org/x/sync/semaphore"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// callMemory is what a call takes of the memory budget besides its line: its
// buffers, the gap to the next line, and a usual answer, in bytes.
const callMemory = 128 << 10

// A reader reads the lines of requests, within the memory budget.
type reader struct {
	kit

	batches *poller
	calls   context.Context // bounds the wait for memory
	files   Files
	bytes   int64               // the budget
	budget  *semaphore.Weighted // what is left of it
}

// read reads the lines of one range at once and decodes them.
func (r *reader) read(lines []*job) error {
	if err := r.reserve(lines); err != nil {
		return err
	}
	start, length := lines[0].message.Offset, int64(0)
	for _, j := range lines {
		length = max(length, j.message.Offset+j.message.Length-start)
	}
	b := r.batches.entry(lines[0].ref()).last()
	var body []byte
	err := r.persist(opLimit, func(ctx context.Context) error {
		var err error
		body, err = r.files.Read(ctx, batch.FileKey(b.Tenant, b.InputFileID), start, length)
		return err
	})
	if err != nil && !errors.Is(err, batch.ErrNoObject) {
		return err
	}
	for _, j := range lines {
		if err != nil {
			j.bad = errors.New("the batch's input file is gone")
		} else {
			from := j.message.Offset - start
			line := body[from : from+j.message.Length]
			if len(lines) > 1 {
				line = bytes.Clone(line)
			}
			j.decode(line, b.Endpoint)
		}
		j.identify()
	}
	return nil
}

// reserve waits until there is memory for lines and their answers.
func (r *reader) reserve(lines []*job) error {
	total := int64(0)
	for _, j := range lines {
		j.reserved = min(j.memory(len(lines) > 1), r.bytes/int64(len(lines)))
		total += j.reserved
	}
	if err := r.budget.Acquire(r.calls, total); err != nil {
		for _, j := range lines {
			j.reserved = 0
		}
		return endOf(r.calls)
	}
	return nil
}

// release gives back the memory that j holds, if it does.
func (r *reader) release(j *job) {
	r.budget.Release(j.reserved)
	j.reserved, j.input = 0, batch.Input{}
}

// memory returns what j takes of the memory budget. A line that is read alone is
// decoded and sent where it lies, and takes its length once. Those that are read
// together are copied out of what was read, so that one slow call does not hold
// it all: they take theirs twice.
func (j *job) memory(together bool) int64 {
	if together {
		return 2*j.message.Length + callMemory
	}
	return j.message.Length + callMemory
}

// decode takes j's input from its line. The bytes are not trusted to be those
// that were validated.
func (j *job) decode(line []byte, endpoint string) {
	if j.input, j.bad = batch.DecodeInput(line); j.bad == nil {
		j.bad = j.input.CheckURL(endpoint)
	}
}

// identify gives the request that j's first receive supposes the custom id
// that its line has, since a write replaces the whole.
func (j *job) identify() {
	if p, ok := j.record.Phase.(state.Pending); ok && p.ClaimID == "" && j.record.Spec.CustomID == "" {
		j.record.Spec.CustomID = j.input.CustomID
	}
}
