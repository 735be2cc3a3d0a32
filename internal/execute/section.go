package execute

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	// maxGap is how many bytes of no use are read rather than reading twice.
	maxGap = 64 << 10
	// maxSection bounds a read of several lines, in bytes.
	maxSection = 4 << 20
	// callWeight is what a call takes of the room besides its line: its buffers,
	// the gap to the next line, and a usual answer, in bytes.
	callWeight = 128 << 10
)

// weighs returns what j takes of the room. A line that is read alone is decoded and
// sent where it lies, and takes its length once. Those that are read together
// are copied out of what was read, so that one slow call does not hold it all:
// they take theirs twice.
func (j *job) weighs(together bool) int64 {
	if together {
		return 2*j.message.Length + callWeight
	}
	return j.message.Length + callWeight
}

// sections groups jobs by runs of lines that lie close together in one batch's
// input.
func sections(jobs []*job) [][]*job {
	jobs = slices.Clone(jobs)
	slices.SortFunc(jobs, func(a, b *job) int {
		return cmp.Or(
			cmp.Compare(a.message.Tenant, b.message.Tenant), cmp.Compare(a.message.Batch, b.message.Batch),
			cmp.Compare(a.message.Offset, b.message.Offset),
		)
	})
	var out [][]*job
	for i, j := range jobs {
		if i > 0 && joins(out[len(out)-1], j) {
			out[len(out)-1] = append(out[len(out)-1], j)
		} else {
			out = append(out, []*job{j})
		}
	}
	return out
}

// joins reports whether j's line is read together with those of s.
func joins(s []*job, j *job) bool {
	first, last := s[0].message, s[len(s)-1].message
	m := j.message
	return m.Ref() == first.Ref() &&
		m.Offset-(last.Offset+last.Length) <= maxGap &&
		m.Offset+m.Length-first.Offset <= maxSection
}

// section fetches the lines of s with one read and starts their jobs.
func (r *run) section(s []*job) {
	err := r.reserve(s)
	if err == nil {
		err = r.fetch(s)
	}
	for _, j := range s {
		if err != nil {
			r.settle(j, nil, err)
			continue
		}
		r.jobs.Go(func() {
			o, err := r.work(j)
			r.settle(j, o, err)
		})
	}
}

// reserve waits until there is room for the lines of s and their answers.
func (r *run) reserve(s []*job) error {
	total := int64(0)
	for _, j := range s {
		j.weight = min(j.weighs(len(s) > 1), r.cfg.Bytes/int64(len(s)))
		total += j.weight
	}
	if err := r.room.Acquire(r.calls, total); err != nil {
		for _, j := range s {
			j.weight = 0
		}
		return r.unclaimed(context.Cause(r.calls))
	}
	return nil
}

// release gives back the room that j holds, if it does.
func (r *run) release(j *job) {
	r.room.Release(j.weight)
	j.weight, j.input = 0, batch.Input{}
}

// fetch reads the lines of s and decodes them.
func (r *run) fetch(s []*job) error {
	start, end := s[0].message.Offset, int64(0)
	for _, j := range s {
		end = max(end, j.message.Offset+j.message.Length)
	}
	b := s[0].watched.last()
	var body []byte
	err := r.persist(opLimit, func(ctx context.Context) error {
		var err error
		body, err = r.Files.Read(ctx, batch.FileKey(b.Tenant, b.InputFileID), start, end-start)
		return err
	})
	if err != nil && !errors.Is(err, batch.ErrNoObject) {
		return err
	}
	for _, j := range s {
		if err != nil {
			j.bad = errors.New("the batch's input file is gone")
		} else {
			from := j.message.Offset - start
			line := body[from : from+j.message.Length]
			if len(s) > 1 {
				line = bytes.Clone(line)
			}
			j.input, j.bad = batch.DecodeInput(line)
			if j.bad == nil { // the bytes are not trusted to be those that were validated
				j.bad = j.input.CheckURL(b.Endpoint)
			}
		}
		j.identify()
	}
	return nil
}

// identify gives the request that j's first receive supposes the custom id
// that its line has, since a write replaces the whole.
func (j *job) identify() {
	if p, ok := j.record.Phase.(state.Pending); ok && p.ClaimID == "" && j.record.Spec.CustomID == "" {
		j.record.Spec.CustomID = j.input.CustomID
	}
}
