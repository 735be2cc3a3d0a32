package retry_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/retry"
)

func noon() time.Time { return time.Date(2031, 5, 17, 12, 0, 0, 0, time.UTC) }

// fusillade is the configuration that fusillade 8.1.0 documents: 1000 retries,
// none within 900 s of the deadline, 1 s doubled up to 60 s.
func fusillade() retry.Policy {
	return retry.Policy{
		MaxRetries:         1000,
		StopBeforeDeadline: 900_000 * time.Millisecond,
		Backoff:            1000 * time.Millisecond,
		Factor:             2,
		MaxBackoff:         60_000 * time.Millisecond,
		Retryable:          retry.DefaultStatuses(),
	}
}

// never is a randomness that must not be asked.
func never(t *testing.T) func() float64 {
	t.Helper()
	return func() float64 {
		t.Error("randomness was asked without jitter")
		return 0
	}
}

func TestBackoffAt(t *testing.T) {
	t.Parallel()
	p := fusillade()
	for attempt, want := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		if got := p.BackoffAt(attempt); got != time.Duration(want)*time.Second {
			t.Errorf("BackoffAt(%d) = %v, want %d s", attempt, got, want)
		}
		d := p.Decide(retry.Failed{Now: noon(), Deadline: noon().Add(24 * time.Hour), Attempt: attempt}, never(t))
		if want := (retry.Decision{NotBefore: noon().Add(time.Duration(want) * time.Second)}); d != want {
			t.Errorf("Decide(attempt %d) = %+v, want %+v", attempt, d, want)
		}
	}
	with := func(change func(*retry.Policy)) retry.Policy {
		p := fusillade()
		change(&p)
		return p
	}
	cases := map[string]struct {
		policy  retry.Policy
		attempt int
		want    time.Duration
	}{
		"below zero is the first": {fusillade(), -1, time.Second},
		"attempt 62":              {fusillade(), 62, time.Minute},
		"attempt 63":              {fusillade(), 63, time.Minute},
		"attempt 64":              {fusillade(), 64, time.Minute},
		"attempt 999":             {fusillade(), 999, time.Minute},
		"attempt 1,000,000":       {fusillade(), 1_000_000, time.Minute},
		"the largest attempt":     {fusillade(), math.MaxInt, time.Minute},
		"no growth at the largest": {with(func(p *retry.Policy) {
			p.Backoff, p.MaxBackoff, p.Factor = math.MaxInt64, math.MaxInt64, 1
		}), 3, math.MaxInt64},
		"factor 1 stays":           {with(func(p *retry.Policy) { p.Factor = 1 }), 1_000_000, time.Second},
		"factor 1.5":               {with(func(p *retry.Policy) { p.Factor = 1.5 }), 2, 2250 * time.Millisecond},
		"a huge factor, first":     {with(func(p *retry.Policy) { p.Factor = math.MaxFloat64 }), 0, time.Second},
		"a huge factor, then":      {with(func(p *retry.Policy) { p.Factor = math.MaxFloat64 }), 1, time.Minute},
		"a huge factor, overflown": {with(func(p *retry.Policy) { p.Factor = math.MaxFloat64 }), 2, time.Minute},
		"no growth":                {with(func(p *retry.Policy) { p.MaxBackoff = p.Backoff }), 5, time.Second},
		"the largest ceiling":      {with(func(p *retry.Policy) { p.MaxBackoff = math.MaxInt64 }), 1000, math.MaxInt64},
		"the largest of both": {with(func(p *retry.Policy) {
			p.Backoff, p.MaxBackoff = math.MaxInt64, math.MaxInt64
		}), 3, math.MaxInt64},
		"a nanosecond": {with(func(p *retry.Policy) { p.Backoff = 1 }), 10, 1024},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.policy.BackoffAt(c.attempt); got != c.want {
				t.Errorf("BackoffAt(%d) = %v, want %v", c.attempt, got, c.want)
			}
		})
	}
}

// TestFusilladeToItsEnd plays an upstream that fails every call at once until
// the retries are denied.
func TestFusilladeToItsEnd(t *testing.T) {
	t.Parallel()
	with := func(change func(*retry.Policy)) retry.Policy {
		p := fusillade()
		change(&p)
		return p
	}
	cases := map[string]struct {
		policy retry.Policy
		window time.Duration
		calls  int
		last   time.Duration // of the last call, from the start
		denied retry.Denial
	}{
		// 1+2+4+8+16+32 s, then 994 waits of 60 s.
		"24 h ends by max_retries": {fusillade(), 24 * time.Hour, 1001, 59_703 * time.Second, retry.DeniedMaxRetries},
		// 63 s and 43 waits of 60 s; the 44th would end at 2703 s, past 3600 s - 900 s.
		"1 h ends by the deadline": {fusillade(), time.Hour, 50, 2643 * time.Second, retry.DeniedDeadline},
		// Without a buffer 58 waits of 60 s fit into 3600 s: 63 s + 3480 s = 3543 s.
		"1 h without a buffer": {
			with(func(p *retry.Policy) { p.StopBeforeDeadline = 0 }), time.Hour, 65, 3543 * time.Second, retry.DeniedDeadline,
		},
		"unlimited ends by the deadline": {
			// 63 s and 1423 waits of 60 s; the next would end at 85,503 s, past 86,400 s - 900 s.
			with(func(p *retry.Policy) { p.MaxRetries = retry.Unlimited }), 24 * time.Hour, 1430, 85_443 * time.Second, retry.DeniedDeadline,
		},
		"three retries are four calls": {
			with(func(p *retry.Policy) { p.MaxRetries = 3 }), 24 * time.Hour, 4, 7 * time.Second, retry.DeniedMaxRetries,
		},
		"no retries are one call":      {with(func(p *retry.Policy) { p.MaxRetries = 0 }), 24 * time.Hour, 1, 0, retry.DeniedMaxRetries},
		"a window within the buffer":   {fusillade(), 10 * time.Minute, 1, 0, retry.DeniedDeadline},
		"a window as long as the both": {fusillade(), 901 * time.Second, 1, 0, retry.DeniedDeadline},
		"a window a bit longer":        {fusillade(), 901*time.Second + time.Millisecond, 2, time.Second, retry.DeniedDeadline},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, deadline := noon(), noon().Add(c.window)
			for attempt := 0; ; attempt++ {
				d := c.policy.Decide(retry.Failed{Now: now, Deadline: deadline, Attempt: attempt}, never(t))
				if d.Denied == retry.DeniedNot {
					now = d.NotBefore
					continue
				}
				if attempt+1 != c.calls || now.Sub(noon()) != c.last || d.Denied != c.denied {
					t.Errorf("%d calls, the last at %v, denied by %q; want %d, %v, %q",
						attempt+1, now.Sub(noon()), d.Denied, c.calls, c.last, c.denied)
				}
				return
			}
		})
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const (
		second = time.Second
		tick   = time.Millisecond
	)
	at := func(d time.Duration) retry.Decision { return retry.Decision{NotBefore: noon().Add(d)} }
	denied := func(why retry.Denial) retry.Decision { return retry.Decision{Denied: why} }
	plain, buffered, unlimited, three := fusillade(), fusillade(), fusillade(), fusillade()
	plain.StopBeforeDeadline = 0
	unlimited.MaxRetries, unlimited.StopBeforeDeadline = retry.Unlimited, 0
	three.MaxRetries, three.StopBeforeDeadline = 3, 0
	cases := map[string]struct {
		policy     retry.Policy
		left       time.Duration // until the deadline
		attempt    int
		retryAfter time.Duration
		want       retry.Decision
	}{
		"the 1000th failure":           {plain, time.Hour, 999, 0, at(time.Minute)},
		"the 1001st failure":           {plain, time.Hour, 1000, 0, denied(retry.DeniedMaxRetries)},
		"and any after":                {plain, time.Hour, 1001, 0, denied(retry.DeniedMaxRetries)},
		"max_retries is tested first":  {plain, -time.Hour, 1000, 0, denied(retry.DeniedMaxRetries)},
		"max_retries, then deadline":   {plain, -time.Hour, 999, 0, denied(retry.DeniedDeadline)},
		"no cap":                       {unlimited, time.Hour, 1_000_000, 0, at(time.Minute)},
		"no cap but the deadline":      {unlimited, time.Minute, 1_000_000, 0, denied(retry.DeniedDeadline)},
		"third retry of three":         {three, time.Hour, 2, 0, at(4 * second)},
		"fourth retry of three":        {three, time.Hour, 3, 0, denied(retry.DeniedMaxRetries)},
		"ends on the deadline":         {plain, second, 0, 0, denied(retry.DeniedDeadline)},
		"ends a tick before":           {plain, second + tick, 0, 0, at(second)},
		"ends a tick after":            {plain, second - tick, 0, 0, denied(retry.DeniedDeadline)},
		"ends on the buffer":           {buffered, 901 * second, 0, 0, denied(retry.DeniedDeadline)},
		"ends a tick before it":        {buffered, 901*second + tick, 0, 0, at(second)},
		"ends a tick after it":         {buffered, 901*second - tick, 0, 0, denied(retry.DeniedDeadline)},
		"asked for less":               {plain, time.Hour, 3, second, at(8 * second)},
		"asked for as much":            {plain, time.Hour, 3, 8 * second, at(8 * second)},
		"asked for more":               {plain, time.Hour, 3, 9 * second, at(9 * second)},
		"asked for more than the cap":  {plain, time.Hour, 3, 10 * time.Minute, at(10 * time.Minute)},
		"asked for the rest":           {plain, time.Hour, 3, time.Hour, denied(retry.DeniedDeadline)},
		"asked for almost the rest":    {plain, time.Hour, 3, time.Hour - tick, at(time.Hour - tick)},
		"asked for ever":               {plain, time.Hour, 3, math.MaxInt64, denied(retry.DeniedDeadline)},
		"asked for less than nothing":  {plain, time.Hour, 3, math.MinInt64, at(8 * second)},
		"never cut short":              {plain, time.Hour, 3, 9*second + 1, at(9*second + tick)},
		"rounded up to the deadline":   {plain, 10 * second, 3, 10*second - 1, denied(retry.DeniedDeadline)},
		"a deadline long past":         {plain, -time.Hour, 0, 0, denied(retry.DeniedDeadline)},
		"an attempt that never was":    {plain, time.Hour, -1, 0, at(second)},
		"a deadline as far as it goes": {plain, math.MaxInt64, 3, math.MaxInt64 - 2*tick, denied(retry.DeniedNot)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := c.policy.Decide(retry.Failed{
				Now: noon(), Deadline: noon().Add(c.left), Attempt: c.attempt, RetryAfter: c.retryAfter,
			}, never(t))
			if c.want == (retry.Decision{}) { // only: not denied, and later than now
				if got.Denied != retry.DeniedNot || !got.NotBefore.After(noon()) {
					t.Errorf("Decide = %+v, want a retry", got)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Decide (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDoubts bounds failures that are doubtful by their own number, whatever number of others there were.
func TestDoubts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failed retry.Failed
		want   retry.Denial
	}{
		"the first":                    {retry.Failed{Doubtful: true, MaxDoubts: 3}, retry.DeniedNot},
		"the third, after many others": {retry.Failed{Attempt: 90, Doubtful: true, Doubts: 2, MaxDoubts: 3}, retry.DeniedNot},
		"the fourth":                   {retry.Failed{Attempt: 3, Doubtful: true, Doubts: 3, MaxDoubts: 3}, retry.DeniedMaxRetries},
		"none at all":                  {retry.Failed{Doubtful: true}, retry.DeniedMaxRetries},
		"another failure after them":   {retry.Failed{Attempt: 3, Doubts: 3, MaxDoubts: 3}, retry.DeniedNot},
		"within max_retries":           {retry.Failed{Attempt: 1000, Doubtful: true, MaxDoubts: 3}, retry.DeniedMaxRetries},
	} {
		c.failed.Now, c.failed.Deadline = noon(), noon().Add(time.Hour)
		if got := retry.Default().Decide(c.failed, func() float64 { return 0.5 }).Denied; got != c.want {
			t.Errorf("%s: denied by %q, want %q", name, got, c.want)
		}
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	p := fusillade()
	p.Jitter = true
	cases := map[string]struct {
		drawn      float64
		attempt    int
		retryAfter time.Duration
		want       time.Duration
	}{
		"none of it":                  {0, 3, 0, 0},
		"half of it":                  {0.5, 3, 0, 4 * time.Second},
		"almost all":                  {math.Nextafter(1, 0), 3, 0, 8 * time.Second}, // rounded up to a millisecond
		"half of the cap":             {0.5, 100, 0, 30 * time.Second},
		"what was asked is not cut":   {0.5, 3, 5 * time.Second, 5 * time.Second},
		"the draw may be longer":      {0.5, 3, 3 * time.Second, 4 * time.Second},
		"asked for more than backoff": {0.5, 0, time.Minute, time.Minute},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			d := p.Decide(retry.Failed{
				Now: noon(), Deadline: noon().Add(time.Hour), Attempt: c.attempt, RetryAfter: c.retryAfter,
			}, func() float64 { calls++; return c.drawn })
			if want := (retry.Decision{NotBefore: noon().Add(c.want)}); d != want || calls != 1 {
				t.Errorf("Decide = %+v in %d draws, want %+v in one", d, calls, want)
			}
		})
	}
}

// anyPolicy draws a policy that Validate lets pass.
func anyPolicy(t *rapid.T) retry.Policy {
	backoff := rapid.Int64Range(1, int64(time.Hour)).Draw(t, "backoff")
	p := retry.Policy{
		MaxRetries:         rapid.OneOf(rapid.Just(retry.Unlimited), rapid.IntRange(0, 2000)).Draw(t, "max retries"),
		StopBeforeDeadline: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "stop before deadline")),
		Backoff:            time.Duration(backoff),
		Factor:             rapid.OneOf(rapid.Float64Range(1, 10), rapid.Float64Range(1, math.MaxFloat64)).Draw(t, "factor"),
		MaxBackoff: time.Duration(rapid.OneOf(
			rapid.Int64Range(backoff, int64(2*time.Hour)), rapid.Int64Range(backoff, math.MaxInt64),
		).Draw(t, "max backoff")),
		Jitter: rapid.Bool().Draw(t, "jitter"),
	}
	if err := p.Validate(); err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	return p
}

// TestDecideHolds decides random cases until each decision was made.
func TestDecideHolds(t *testing.T) {
	t.Parallel()
	const rounds = 50 // one is enough, mostly
	left := map[retry.Denial]bool{retry.DeniedNot: true, retry.DeniedDeadline: true, retry.DeniedMaxRetries: true}
	for range rounds {
		rapid.Check(t, func(t *rapid.T) { delete(left, decide(t)) })
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("no decision was %v", left)
}

// decide decides one case and holds the decision against all that is promised.
func decide(t *rapid.T) retry.Denial {
	p := anyPolicy(t)
	f := retry.Failed{
		Now:     noon().Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now"))),
		Attempt: rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, math.MaxInt)).Draw(t, "attempt"),
		RetryAfter: time.Duration(rapid.OneOf(
			rapid.Just(int64(0)), rapid.Int64Range(0, int64(time.Hour)), rapid.Int64(),
		).Draw(t, "retry after")),
	}
	f.Deadline = f.Now.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(24*time.Hour)).Draw(t, "left")))
	drawn := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "drawn")
	d := p.Decide(f, func() float64 { return drawn })

	backoff := p.BackoffAt(f.Attempt)
	if backoff <= 0 || backoff > p.MaxBackoff || backoff < min(p.Backoff, p.MaxBackoff) {
		t.Fatalf("backoff %v is out of [%v, %v]", backoff, p.Backoff, p.MaxBackoff)
	}
	if f.Attempt > 0 && backoff < p.BackoffAt(f.Attempt-1) {
		t.Fatalf("backoff shrank to %v", backoff)
	}
	capped := p.MaxRetries != retry.Unlimited && f.Attempt >= p.MaxRetries
	if (d.Denied == retry.DeniedMaxRetries) != capped {
		t.Fatalf("denied by %q, capped: %t", d.Denied, capped)
	}
	// What the wait would be at most and at least, in whole milliseconds.
	most, least := max(backoff, f.RetryAfter), max(f.RetryAfter, 0)
	effective := f.Deadline.Add(-p.StopBeforeDeadline)
	switch d.Denied {
	case retry.DeniedDeadline:
		if f.Now.Add(most).Add(time.Millisecond).Before(effective) {
			t.Fatalf("denied by the deadline, %v before it", effective.Sub(f.Now.Add(most)))
		}
	case retry.DeniedNot:
		wait := d.NotBefore.Sub(f.Now)
		if !d.NotBefore.Before(effective) {
			t.Fatalf("scheduled at %v, effective deadline %v", d.NotBefore, effective)
		}
		if wait < least || wait-most >= time.Millisecond {
			t.Fatalf("wait %v is out of [%v, %v]", wait, least, most)
		}
		if !p.Jitter && wait < most {
			t.Fatalf("wait %v without jitter, want %v", wait, most)
		}
		if d.NotBefore != d.NotBefore.Truncate(time.Millisecond) {
			t.Fatalf("scheduled at %v, want whole milliseconds", d.NotBefore)
		}
	case retry.DeniedMaxRetries:
	}
	if d.Denied != retry.DeniedNot && !d.NotBefore.IsZero() {
		t.Fatalf("denied and scheduled: %+v", d)
	}
	return d.Denied
}

func TestValidate(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*retry.Policy)
		ok     bool
	}{
		"the default":             {func(*retry.Policy) {}, true},
		"fusillade's":             {func(p *retry.Policy) { *p = fusillade() }, true},
		"no cap":                  {func(p *retry.Policy) { p.MaxRetries = retry.Unlimited }, true},
		"no retries":              {func(p *retry.Policy) { p.MaxRetries = 0 }, true},
		"no invalid answers":      {func(p *retry.Policy) { p.MaxInvalid = 0 }, true},
		"less than none":          {func(p *retry.Policy) { p.MaxInvalid = -1 }, false},
		"less than no cap":        {func(p *retry.Policy) { p.MaxRetries = -2 }, false},
		"no buffer":               {func(p *retry.Policy) { p.StopBeforeDeadline = 0 }, true},
		"a negative buffer":       {func(p *retry.Policy) { p.StopBeforeDeadline = -1 }, false},
		"no backoff":              {func(p *retry.Policy) { p.Backoff = 0 }, false},
		"a negative backoff":      {func(p *retry.Policy) { p.Backoff = -time.Second }, false},
		"factor 1":                {func(p *retry.Policy) { p.Factor = 1 }, true},
		"a shrinking factor":      {func(p *retry.Policy) { p.Factor = 0.99 }, false},
		"factor 0":                {func(p *retry.Policy) { p.Factor = 0 }, false},
		"no number":               {func(p *retry.Policy) { p.Factor = math.NaN() }, false},
		"an infinite factor":      {func(p *retry.Policy) { p.Factor = math.Inf(1) }, false},
		"a cap below the backoff": {func(p *retry.Policy) { p.MaxBackoff = p.Backoff - 1 }, false},
		"a cap at the backoff":    {func(p *retry.Policy) { p.MaxBackoff = p.Backoff }, true},
		"no status is retryable":  {func(p *retry.Policy) { p.Retryable = nil }, true},
		"a status below 100":      {func(p *retry.Policy) { p.Retryable = retry.Statuses{{From: 99, To: 99}} }, false},
		"a status above 599":      {func(p *retry.Policy) { p.Retryable = retry.Statuses{{From: 500, To: 600}} }, false},
		"a range from end to start": {
			func(p *retry.Policy) { p.Retryable = retry.Statuses{{From: 500, To: 400}} }, false,
		},
		"the second range is wrong": {
			func(p *retry.Policy) { p.Retryable = retry.Statuses{{From: 429, To: 429}, {From: 0, To: 0}} }, false,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := retry.Default()
			c.change(&p)
			if err := p.Validate(); (err == nil) != c.ok || (err != nil && !errors.Is(err, retry.ErrPolicy)) {
				t.Errorf("Validate: %v, want ok: %t", err, c.ok)
			}
		})
	}
}

func TestDefault(t *testing.T) {
	t.Parallel()
	want := retry.Policy{
		MaxRetries: 1000, StopBeforeDeadline: 0, Backoff: time.Second, Factor: 2, MaxBackoff: time.Minute, Jitter: true,
		Retryable: retry.Statuses{{408, 408}, {409, 409}, {425, 425}, {429, 429}, {498, 498}, {499, 499}, {500, 599}}, MaxInvalid: 3,
	}
	if diff := cmp.Diff(want, retry.Default()); diff != "" {
		t.Errorf("Default (-want +got):\n%s", diff)
	}
}
