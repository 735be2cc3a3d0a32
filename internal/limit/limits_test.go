package limit_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/limit"
)

// fleet returns eight workers before a provider like many: clocks that differ by
// 2 s, half a second of network, and answers of 5 to 15 s.
func fleet() setup {
	return setup{
		workers: 8, places: 50, clocks: 2 * time.Second, network: 500 * time.Millisecond, store: 20 * time.Millisecond,
		latency: 10 * time.Second, jobs: 1 << 30,
	}
}

// mixed returns calls that may take 100 to most tokens, one in twenty of them ten
// times as many, and take a half to all of that.
func mixed(most int) func(*rand.Rand) (int64, int64) {
	return func(r *rand.Rand) (estimate, took int64) {
		estimate = int64(100 + r.IntN(most-99))
		if r.IntN(20) == 0 {
			estimate *= 10
		}
		return estimate, estimate/2 + r.Int64N(estimate/2+1)
	}
}

// TestLimitsHold demands that no minute and no moment sees more than is allowed,
// whatever the limits are, while workers die, and their store stalls and fails.
func TestLimitsHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := fleet()
		s.workers = rapid.IntRange(1, 12).Draw(rt, "workers")
		s.places = rapid.IntRange(1, 60).Draw(rt, "places")
		s.latency = time.Duration(rapid.IntRange(20, 30_000).Draw(rt, "latency, ms")) * time.Millisecond
		s.limits = limit.Limits{
			Concurrency: rapid.SampledFrom([]int{0, 1, 3, 20, 200}).Draw(rt, "slots"),
			RPM:         rapid.SampledFrom([]int{0, 1, 7, 20, 61, 600, 6_000}).Draw(rt, "requests"),
			TPM:         rapid.SampledFrom([]int{0, 5_000, 40_000, 400_000}).Draw(rt, "tokens"),
		}
		if s.limits.TPM > 0 {
			draw := mixed(rapid.IntRange(100, s.limits.TPM/10).Draw(rt, "tokens of a call"))
			above := rapid.Bool().Draw(rt, "above their estimate")
			s.tokens = func(r *rand.Rand) (estimate, took int64) {
				if estimate, took = draw(r); above {
					took *= 2
				}
				return estimate, took
			}
		}
		s.stalls = rapid.Bool().Draw(rt, "stalls")
		s.deaths = time.Duration(rapid.SampledFrom([]int{0, 10, 60}).Draw(rt, "deaths, s")) * time.Second
		r := run(rapid.Uint64().Draw(rt, "seed"), s, 150*time.Second)
		if n := s.limits.RPM; n > 0 && r.mostRequests > n {
			rt.Errorf("%d requests in a minute of at most %d", r.mostRequests, n)
		}
		if n := s.limits.Concurrency; n > 0 && r.mostInFlight > n {
			rt.Errorf("%d calls in flight of at most %d", r.mostInFlight, n)
		}
		if n := int64(s.limits.TPM); n > 0 && r.mostTokens > n {
			rt.Errorf("%d tokens in a minute of at most %d", r.mostTokens, n)
		}
	})
}

// TestLimitsAreUsed demands 90 % of the requests and slots and 80 % of the tokens
// that are allowed, while workers die.
func TestLimitsAreUsed(t *testing.T) {
	t.Parallel()
	const long = 10 * time.Minute
	deaths := func(s setup) setup { s.deaths = time.Minute; return s }
	for name, s := range map[string]struct {
		setup
		limits limit.Limits
	}{
		"20 requests a minute":                   {fleet(), limit.Limits{RPM: 20}},
		"600 requests a minute":                  {deaths(fleet()), limit.Limits{RPM: 600}},
		"2,000 requests a minute":                {deaths(fleet()), limit.Limits{RPM: 2_000}},
		"100 slots":                              {deaths(fleet()), limit.Limits{Concurrency: 100}},
		"100,000 tokens a minute":                {fleet(), limit.Limits{TPM: 100_000}},
		"1,000,000 tokens a minute":              {deaths(fleet()), limit.Limits{TPM: 1_000_000}},
		"600 requests a minute, slots for twice": {deaths(fleet()), limit.Limits{RPM: 600, Concurrency: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.setup.limits = s.limits
			if s.limits.TPM > 0 {
				s.tokens = mixed(s.limits.TPM / 50)
			}
			for seed := range uint64(3) {
				r := run(seed, s.setup, long)
				t.Log(r)
				if want := 0.9 * float64(s.limits.RPM) * long.Minutes(); float64(r.sent) < want {
					t.Errorf("%d calls, want %.0f", r.sent, want)
				}
				// A call holds its slot for the network's time and the answer's; a dead
				// worker's slots come back after 32 s, and there is a death a minute.
				if want := 0.9 * float64(s.limits.Concurrency) * long.Seconds() / 10.25 * (1 - 32./60/8); s.limits.RPM == 0 && float64(r.sent) < want {
					t.Errorf("%d calls, want %.0f", r.sent, want)
				}
				if want := 0.8 * float64(s.limits.TPM) * long.Minutes(); float64(r.charged) < want {
					t.Errorf("%d tokens, want %.0f", r.charged, want)
				}
			}
		})
	}
}

// TestReturnsSuffice demands that limits are used while all who wait for them go back to
// the queue and come to any worker later, also if each step of a worker takes its time.
func TestReturnsSuffice(t *testing.T) {
	t.Parallel()
	const long = 4 * time.Minute
	for name, tc := range map[string]struct {
		limits                limit.Limits
		latency, store, claim time.Duration
		want                  float64
	}{
		"slots, calls of 2 s":  {limit.Limits{Concurrency: 12}, 2 * time.Second, 20 * time.Millisecond, 0, 0.8},
		"slots, calls of 10 s": {limit.Limits{Concurrency: 12}, 10 * time.Second, 20 * time.Millisecond, 0, 0.8},
		"slots, slow store":    {limit.Limits{Concurrency: 12}, 10 * time.Second, time.Second, time.Second, 0.69},
		"requests":             {limit.Limits{RPM: 300}, time.Second, 20 * time.Millisecond, 0, 0.9},
		"requests, slow store": {limit.Limits{RPM: 300}, time.Second, time.Second, time.Second, 0.78},
		"tokens":               {limit.Limits{TPM: 60_000}, time.Second, 20 * time.Millisecond, 0, 0.8},
		"few requests":         {limit.Limits{RPM: 20}, time.Second, 20 * time.Millisecond, 0, 0.9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fleet()
			s.workers, s.places, s.network, s.returns, s.jobs = 10, 250, 10*time.Millisecond, true, 5_000
			s.limits, s.latency, s.store, s.claim = tc.limits, tc.latency, tc.store, tc.claim
			if s.limits.TPM > 0 {
				s.tokens = mixed(s.limits.TPM / 60)
			}
			r := run(1, s, long)
			used := float64(r.sent) * tc.latency.Seconds() / 12 / r.busy.Seconds()
			if s.limits.RPM > 0 {
				used = float64(r.sent) / r.busy.Minutes() / float64(s.limits.RPM)
			}
			if s.limits.TPM > 0 {
				used = float64(r.charged) / r.busy.Minutes() / float64(s.limits.TPM)
			}
			t.Logf("%.0f %% used: %v", 100*used, r)
			if used < tc.want {
				t.Errorf("%.0f %% used", 100*used)
			}
		})
	}
}

// TestLearnedPace demands at most 1.2 calls for each that is answered, of a
// provider that allows 20 a minute and was not configured so.
func TestLearnedPace(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{false, true} {
		t.Run(fmt.Sprintf("asks for a wait: %t", asks), func(t *testing.T) {
			t.Parallel()
			s := fleet()
			s.allowed, s.coded, s.asks, s.jobs = 20, true, asks, 10_000
			if testing.Short() {
				s.jobs = 2_000
			}
			for seed := range uint64(1) {
				r := run(seed, s, 24*time.Hour)
				t.Log(r)
				if r.answered < s.jobs || float64(r.sent) > 1.2*float64(r.answered) || r.tooEarly > 0 {
					t.Errorf("%d calls for %d answers of %d; %d in a wait that their worker knew of", r.sent, r.answered, s.jobs, r.tooEarly)
				}
				if rate := float64(r.answered) / r.busy.Minutes(); rate < 0.85*20 {
					t.Errorf("%.1f answers a minute of 20", rate)
				}
			}
		})
	}
}

// TestLearnedPaceFollows demands that a first guess that is wrong by far is
// outgrown: a provider that allows ten calls a second refuses after ten, which
// looks like ten a minute.
func TestLearnedPaceFollows(t *testing.T) {
	t.Parallel()
	s := fleet()
	s.burst, s.coded, s.jobs = 10, true, 10_000
	r := run(1, s, 24*time.Hour)
	t.Log(r)
	if r.answered < s.jobs || r.busy > time.Hour || float64(r.sent) > 1.05*float64(r.answered) {
		t.Errorf("%d calls for %d answers in %v", r.sent, r.answered, r.busy)
	}
}

// TestRefusalsOfOneCallOnly demands that a provider which refuses some calls whatever
// their number, and asks for a short wait each time, is not taken for a slow one.
func TestRefusalsOfOneCallOnly(t *testing.T) {
	t.Parallel()
	for _, latency := range []time.Duration{100 * time.Millisecond, 10 * time.Second} {
		t.Run(latency.String(), func(t *testing.T) {
			t.Parallel()
			s := fleet()
			s.latency, s.random, s.asks, s.coded, s.jobs = latency, 0.1, true, true, 3_000
			for seed := range uint64(5) {
				r := run(seed, s, time.Hour)
				t.Log(r)
				if r.answered < s.jobs || r.busy > 5*time.Minute || r.tooEarly > 0 {
					t.Errorf("%d answers in %v; %d calls in a wait that their worker knew of", r.answered, r.busy, r.tooEarly)
				}
			}
		})
	}
}

// TestGenerousProviderIsNotThrottled demands that all places are used of who
// refuses nothing, after a few seconds, and that hardly anything is written.
func TestGenerousProviderIsNotThrottled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("50,000 calls take long")
	}
	s := fleet()
	s.workers, s.places, s.jobs = 10, 250, 50_000
	r := run(1, s, time.Hour)
	t.Log(r)
	ideal := time.Duration(float64(s.jobs) / float64(s.workers*s.places) * float64(s.latency+s.network/2))
	if r.busy > ideal*11/10 {
		t.Errorf("all is begun after %v, want %v", r.busy, ideal)
	}
	if r.writes*100 > s.jobs {
		t.Errorf("%d writes for %d calls", r.writes, s.jobs)
	}
}

// TestSameSeedSameWorld demands that a world can be replayed.
func TestSameSeedSameWorld(t *testing.T) {
	t.Parallel()
	s := fleet()
	s.limits, s.deaths, s.stalls = limit.Limits{RPM: 600, Concurrency: 80}, 20*time.Second, true
	if a, b := run(7, s, 2*time.Minute), run(7, s, 2*time.Minute); a != b {
		t.Errorf("one run: %v; the other: %v", a, b)
	}
}
