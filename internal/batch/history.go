package batch

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/state"
)

const (
	// MaxSamples is how many samples a history keeps: some 2 KB.
	MaxSamples = 300
	// MaxReasons is how many reasons a history counts failures by; those of the rest
	// count as ReasonOther.
	MaxReasons = 50
	// ReasonOther is the reason of failures that are not counted by their own.
	ReasonOther = "other"
	// RetryingUnknown stands for how many requests are retrying where nobody looked.
	RetryingUnknown = -1

	sampleRest = time.Second // the least time between two samples, at first
)

// A Sample is how far a batch was at a time.
type Sample struct {
	At       time.Time // in whole seconds
	Counts   Counts    // Total is 0
	Retrying int       // requests that failed once at least and have no outcome yet; RetryingUnknown
}

// A ReasonCount says how many requests failed for a reason.
type ReasonCount struct {
	Reason   string // as ReasonOf says, or ReasonOther
	Requests int
}

// A History is how a batch went: samples over its life, and why its requests
// failed. Its flow writes it, apart from the record, which is written often and
// must not grow.
type History struct {
	Ref
	Rev int64 // the store's: how often it was written

	Samples  []Sample      // MaxSamples at most, in the order of time; no count of them falls
	Interval time.Duration // the least time between two samples; 0: the least of all
	Failures []ReasonCount // the most first; of a batch that is not settled as far as they were counted
	Settled  bool          // it is as the requests say, each of which has its outcome, and changes no more
}

// Add adds s, unless it comes too soon after the last sample or h is settled.
// Counts that fell, since a counter shard was read late, stay as they were. A
// full history keeps samples that are twice as far from each other.
func (h *History) Add(s Sample) {
	s.At, s.Counts.Total = s.At.UTC().Truncate(time.Second), 0
	if n := len(h.Samples); n > 0 {
		last := h.Samples[n-1]
		if s.At.Sub(last.At) < max(h.Interval, sampleRest) {
			return
		}
		s.Counts = s.Counts.Most(last.Counts)
	}
	if h.Settled {
		return
	}
	h.Samples = append(slices.Clone(h.Samples), s)
	for len(h.Samples) > MaxSamples {
		h.Interval = 2 * max(h.Interval, sampleRest)
		h.Samples = thinned(h.Samples, h.Interval)
	}
}

// Now adds s, which whoever reads h has seen: MaxSamples stay.
func (h *History) Now(s Sample) {
	h.Interval = 0
	if len(h.Samples) == MaxSamples {
		h.Samples = h.Samples[:MaxSamples-1]
	}
	h.Add(s)
}

// thinned returns samples without those that follow another by less than rest;
// the last stays.
func thinned(samples []Sample, rest time.Duration) []Sample {
	kept := samples[:1:1]
	for _, s := range samples[1 : len(samples)-1] {
		if s.At.Sub(kept[len(kept)-1].At) >= rest {
			kept = append(kept, s)
		}
	}
	return append(kept, samples[len(samples)-1])
}

// Count has h tell why requests failed so far, as r has counted, unless h is settled.
func (h *History) Count(r *Review) {
	if !h.Settled {
		h.Failures = r.Failures()
	}
}

// Settle makes h what r has counted, by now. What was known of retries stays.
func (h *History) Settle(r *Review, now time.Time) {
	if h.Settled {
		return
	}
	known := h.Samples
	h.Samples, h.Failures, h.Settled = r.samples(now), r.Failures(), true
	for _, s := range known {
		at, _ := slices.BinarySearchFunc(h.Samples, s.At, func(s Sample, at time.Time) int { return s.At.Compare(at) })
		if s.Retrying >= 0 && at < len(h.Samples)-1 { // at the end none is
			h.Samples[at].Retrying = s.Retrying
		}
	}
	h.Samples = turning(h.Samples)
}

// turning returns samples without those that tell nothing: what they say is the same before and after.
func turning(all []Sample) []Sample {
	kept := all[:1]
	for i := 1; i < len(all); i++ {
		if i == len(all)-1 || all[i].Retrying >= 0 || all[i].Counts != kept[len(kept)-1].Counts || all[i].Counts != all[i+1].Counts {
			kept = append(kept, all[i])
		}
	}
	return kept
}

// Kept returns h as stores keep it: in memory of its own, its times in seconds.
func (h History) Kept() History {
	h.Samples, h.Failures = append([]Sample(nil), h.Samples...), append([]ReasonCount(nil), h.Failures...)
	for i, s := range h.Samples {
		h.Samples[i].At, h.Samples[i].Counts.Total = s.At.UTC().Truncate(time.Second), 0
		h.Samples[i].Retrying = max(s.Retrying, RetryingUnknown)
	}
	return h
}

// A Review counts the requests of a batch that have their outcome.
type Review struct {
	from    time.Time
	width   time.Duration
	spans   [MaxSamples - 1]Counts // the outcomes of each width of the time since from
	reasons map[string]int
}

// NewReview returns a Review of a batch that ran from one time to another.
func NewReview(from, to time.Time) *Review {
	from = from.UTC().Truncate(time.Second)
	r := &Review{from: from, reasons: map[string]int{}}
	width := max(to.Sub(from), 0)/time.Duration(len(r.spans)) + time.Second
	r.width = width.Truncate(time.Second)
	return r
}

// Add counts a request, which must have its outcome.
func (r *Review) Add(p state.Phase) {
	at := int(max(state.EndedAt(p).Sub(r.from), 0) / r.width)
	at = min(at, len(r.spans)-1)
	r.spans[at] = r.spans[at].Add(p)
	if reason := ReasonOf(p); reason != "" {
		r.reasons[reason]++
	}
}

// Failures returns how many requests failed for which reason, MaxReasons at
// most, the most first.
func (r *Review) Failures() []ReasonCount {
	found := make([]ReasonCount, 0, len(r.reasons))
	for reason, n := range r.reasons {
		found = append(found, ReasonCount{Reason: reason, Requests: n})
	}
	slices.SortFunc(found, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Reason, b.Reason))
	})
	if len(found) <= MaxReasons {
		return found
	}
	rest := ReasonCount{Reason: ReasonOther}
	for _, f := range found[MaxReasons-1:] {
		rest.Requests += f.Requests
	}
	return append(found[:MaxReasons-1:MaxReasons-1], rest)
}

// samples returns the sums of outcomes over time, the last of them by now, when
// none is retrying.
func (r *Review) samples(now time.Time) []Sample {
	all := []Sample{{At: r.from, Retrying: RetryingUnknown}}
	last := max(now.UTC().Sub(r.from).Truncate(time.Second), time.Second)
	var sum Counts
	for i, c := range r.spans {
		sum = sum.Plus(c)
		since := time.Duration(i+1) * r.width
		if i < len(r.spans)-1 && since < last {
			all = append(all, Sample{At: r.from.Add(since), Counts: sum, Retrying: RetryingUnknown})
		}
	}
	return append(all, Sample{At: r.from.Add(last), Counts: sum})
}

// ReasonOf returns why a request failed, expired or was canceled, by the code
// that its line in the error file has, and where an answer tells instead by http_
// and the answer's status; empty of any other.
func ReasonOf(p state.Phase) string {
	switch p := p.(type) {
	case state.Failed:
		code, _ := explain(p.Reason)
		return code
	case state.Canceled:
		return CodeCanceled
	case state.Pending, state.Claimed, state.Processing, state.Completed:
	}
	return ""
}

// KnownReason reports whether a request may fail for reason.
func KnownReason(reason string) bool {
	status, isStatus := strings.CutPrefix(reason, "http_")
	return slices.Contains(Reasons(), reason) || isStatus && len(status) == 3 && strings.Trim(status, "0123456789") == ""
}

// Reasons returns why requests fail, but for those where an answer's status
// tells, such as http_429.
func Reasons() []string {
	return []string{
		CodeExpired, CodeCanceled, CodeTimeout, CodeNetwork, CodeTerminated, CodeResponseTooLarge, CodeErrorInBody,
		CodeInvalidAnswer, CodeUnsendable, CodeRetryTooLate,
	}
}

// Retrying reports whether a request has no outcome and waits for another
// attempt, or makes it.
func Retrying(p state.Phase) bool {
	switch p := p.(type) {
	case state.Pending:
		return p.Attempt > 0
	case state.Claimed:
		return p.Attempt > 0
	case state.Processing:
		return p.Attempt > 0
	case state.Completed, state.Failed, state.Canceled:
	}
	return false
}

// Within returns c with no more outcomes than total, which becomes its Total:
// counter shards may count a request twice for a moment.
func (c Counts) Within(total int) Counts {
	left := total
	take := func(n int) int {
		n = min(n, left)
		left -= n
		return n
	}
	return Counts{
		Total: total, Completed: take(c.Completed), Failed: take(c.Failed), Expired: take(c.Expired), Canceled: take(c.Canceled),
	}
}

// errSamples reports text that is no samples.
var errSamples = errors.New("batch: these are no samples")

// EncodeSamples returns samples as text, for stores: some 7 bytes each, since
// each says what has changed since the one before. Its times are in seconds.
func EncodeSamples(samples []Sample) string {
	var raw []byte
	var last [1 + sampleCounts]int64
	for _, s := range samples {
		now := [...]int64{
			s.At.Unix(), int64(s.Counts.Completed), int64(s.Counts.Failed), int64(s.Counts.Expired), int64(s.Counts.Canceled),
			int64(s.Retrying) - RetryingUnknown,
		}
		mask := byte(0)
		for i := range now {
			if now[i] != last[i] {
				mask |= 1 << i
			}
		}
		raw = append(raw, mask)
		for i := range now {
			if now[i] != last[i] {
				raw = binary.AppendVarint(raw, now[i]-last[i])
			}
		}
		last = now
	}
	return base64.RawStdEncoding.EncodeToString(raw)
}

// sampleCounts are the numbers of a sample beside its time.
const sampleCounts = 5

// DecodeSamples reads what EncodeSamples wrote.
func DecodeSamples(text string) ([]Sample, error) {
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, errSamples
	}
	var samples []Sample
	var now [1 + sampleCounts]int64
	for len(raw) > 0 {
		mask := raw[0]
		raw = raw[1:]
		for i := range now {
			if mask&(1<<i) == 0 {
				continue
			}
			change, n := binary.Varint(raw)
			if n <= 0 {
				return nil, errSamples
			}
			now[i], raw = now[i]+change, raw[n:]
		}
		samples = append(samples, Sample{
			At: time.Unix(now[0], 0).UTC(),
			Counts: Counts{
				Completed: int(now[1]), Failed: int(now[2]), Expired: int(now[3]), Canceled: int(now[4]),
			},
			Retrying: int(now[5]) + RetryingUnknown,
		})
	}
	return samples, nil
}
