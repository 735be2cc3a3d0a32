package limit

import (
	"math"
	"time"
)

const (
	// back is what the pace falls by at a refusal.
	back = 0.15
	// The pace comes back to where it was refused within its period, and grows
	// beyond it ever faster: TCP's CUBIC (https://www.rfc-editor.org/rfc/rfc9438).
	// The first period is short, since a first guess may be wrong by far, and
	// doubles each time that the next refusal shows about the same pace.
	firstPeriod, lastPeriod = 20 * time.Second, 5 * time.Minute
	// lastCalls is how many calls the longest period has at least: few of them are refused.
	lastCalls = 60
	// agree is by how much two paces may differ that say the same.
	agree = 0.3
	// late is how long after a refusal others of the same calls may come.
	late = 10 * time.Second
)

// Learned is a pace that refusals have taught, for the whole fleet. At the first
// refusal the calls of the last minute that were not refused are about what a
// provider allows that counts by minutes; from then on the pace is a bit less, comes
// back to that in a period, and then grows beyond it, until it is refused again.
type Learned struct {
	Most   float64       `json:"most,omitzero"`   // calls a minute, at which it was refused; 0: it never was
	Period time.Duration `json:"period,omitzero"` // in which the pace comes back to that
	Grown  time.Duration `json:"grown,omitzero"`  // for how long it has grown, while there were answers
	At     Instant       `json:"at,omitzero"`     // when it was refused
	SeenAt Instant       `json:"seen_at,omitzero"`
}

// rate returns the pace in calls a minute; 0: it is not known.
func (e *Learned) rate() float64 {
	if e.Most == 0 {
		return 0
	}
	x := (e.Grown - e.Period).Seconds() / e.Period.Seconds()
	return e.Most * (1 + back*x*x*x)
}

func (e *Learned) interval() time.Duration {
	if rate := e.rate(); rate > 0 {
		return perMinute(rate)
	}
	return 0
}

// refused has the pace fall, given how many calls a minute were not refused of
// late.
func (e *Learned) refused(now Instant, most float64) {
	most = max(most, 1)
	period := firstPeriod
	if e.Most > 0 && math.Abs(most/e.Most-1) <= agree {
		period = min(2*e.Period, max(lastPeriod, time.Duration(lastCalls*float64(perMinute(most)))))
	}
	*e = Learned{Most: most, Period: period, At: now, SeenAt: now}
}

// corrected is refused once more of the calls before the refusal are known.
func (e *Learned) corrected(now Instant, most float64) {
	if e.Most > 0 && now.Sub(e.At) < late {
		e.Most = max(most, 1)
	}
}

// answered has the pace grow, given how many calls a minute were not refused of
// late. One that is ten times as fast as it was refused at, and much faster than
// is called, is forgotten.
func (e *Learned) answered(now Instant, calls float64) {
	if e.Most == 0 {
		return
	}
	e.Grown += max(min(now.Sub(e.SeenAt), late+2*e.interval()), 0)
	e.SeenAt = max(e.SeenAt, now)
	if rate := e.rate(); rate > 10*e.Most && rate > 4*calls {
		*e = Learned{}
	}
}

// doubt has what was learned be outgrown as fast as a first guess.
func (e *Learned) doubt() {
	if e.Most > 0 {
		e.Period = firstPeriod
	}
}
