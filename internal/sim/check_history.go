package sim

import (
	"context"

	"github.com/musketry/musketry/internal/batch"
)

// historyWritten is told of a write of a batch's history: no sample of one goes
// back, and what is settled stays.
func (c *checker) historyWritten(before, after batch.History) {
	nick := c.world.nick(after.ID)
	if before.Settled && after.Rev != before.Rev {
		c.wrong("the history of %s is settled and was written again", nick)
	}
	if n := len(after.Samples); n > batch.MaxSamples || len(after.Failures) > batch.MaxReasons {
		c.wrong("the history of %s has %d samples and %d reasons", nick, n, len(after.Failures))
	}
	for i := 1; i < len(after.Samples); i++ {
		was, is := after.Samples[i-1], after.Samples[i]
		if !is.At.After(was.At) || is.Counts.Most(was.Counts) != is.Counts {
			c.wrong("the history of %s goes back from %+v to %+v", nick, was, is)
		}
	}
}

// history checks that the history of a batch that ended ends with its counts,
// and says why each of its requests failed.
func (c *checker) history(j *job, b batch.Batch) {
	h, err := c.world.store.History(context.Background(), b.Ref)
	if err != nil || !b.Sealed || b.Counts.Total == 0 {
		return
	}
	ends := batch.Counts{Total: b.Counts.Total}
	if n := len(h.Samples); n > 0 {
		ends = ends.Plus(h.Samples[n-1].Counts)
	}
	if !h.Settled || ends != b.Counts {
		c.wrong("%s ended with %+v, and its history with %+v", j.nick, b.Counts, ends)
	}
	told, want := map[string]int{}, map[string]int{}
	for _, f := range h.Failures {
		told[f.Reason] += f.Requests
	}
	for _, l := range j.lines {
		if reason := batch.ReasonOf(l.trail.phase); reason != "" {
			want[reason]++
		}
	}
	if len(told) != len(want) {
		c.wrong("%s failed for %v, and its history says %v", j.nick, want, told)
	}
	for reason, n := range want {
		if told[reason] != n {
			c.wrong("%s has %d requests that failed for %s, and its history %d", j.nick, n, reason, told[reason])
		}
	}
}
