package finalize_test

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/finalize"
)

func sortedByID(ms []*bagged) []*bagged {
	slices.SortFunc(ms, func(a, b *bagged) int { return cmp.Compare(a.id, b.id) })
	return ms
}

func contains(all []string, one string) bool { return slices.Contains(all, one) }

// TestOneSlowLine lets one line fail again and again. The others must hardly
// notice: 2,000 lines, 200 of them enqueued at once, 100 calls in flight.
func TestOneSlowLine(t *testing.T) {
	t.Parallel()
	others := map[bool]time.Duration{}
	for _, slow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const lines = 2000
			s := newSeam(t, lines)
			start := time.Now()
			s.answer = func(line int) (time.Duration, execute.Reply) {
				if slow && line == 7 && time.Since(start) < 3*time.Hour {
					return time.Second, execute.Reply{StatusCode: 500, Body: []byte(`{}`)}
				}
				return time.Second, answered()
			}
			for range 10 {
				s.environment(0)
			}
			s.workers.Go(func() {
				for s.done() < lines-1 {
					time.Sleep(100 * time.Millisecond)
				}
				others[slow] = time.Since(start)
			})
			s.run(finalize.Config{MaxEnqueued: 200}, nil)
			s.ended(lines)
		})
	}
	t.Logf("1,999 lines are done after %v, and after %v beside one that fails", others[false], others[true])
	if others[true]*5 > others[false]*6 {
		t.Errorf("took %v, want at most 1.2 times %v", others[true], others[false])
	}
}

// TestTurns bounds what the flow of a batch of 10,000 costs. The history of one
// that lasts seven days may have 25,000 events, and of a shorter one the fewer.
func TestTurns(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lines, environments int
		call                time.Duration
		transitions         int
	}{
		"a usual upstream": {10_000, 25, 10 * time.Second, 60},
		"a quick upstream": {10_000, 10, 200 * time.Millisecond, 60},
		"a slow upstream":  {2_000, 8, 9*time.Minute + 50*time.Second, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && tt.call > time.Minute {
				t.Skip("hours of heartbeats take half a minute")
			}
			synctest.Test(t, func(t *testing.T) {
				s := newSeam(t, tt.lines)
				s.answer = func(int) (time.Duration, execute.Reply) { return tt.call, answered() }
				for range tt.environments {
					s.environment(0)
				}
				r := s.run(finalize.Config{}, nil)
				s.ended(tt.lines)
				t.Logf("%v: %d messages, %d transitions, %d events, %d wakes, %d ticks", r.took, s.queue.sentSoFar(), r.transitions(), r.events(), r.wakes, r.ticks)
				if days := r.took.Hours() / 24; r.transitions() > tt.transitions || float64(r.events()) > 25_000*max(days/7, 0.1) {
					t.Errorf("%d transitions, want at most %d; %d events", r.transitions(), tt.transitions, r.events())
				}
			})
		})
	}
}

// TestKilledBeforeTheCounter kills every worker when one has recorded outcomes
// and is about to count them, and once more half a minute later, when what the
// first kill left has just been counted: 2,000 lines of 200 ms, at 40 %.
func TestKilledBeforeTheCounter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kills []time.Duration
		taken int
	}{
		"once":                        {kills: []time.Duration{0}},
		"twice":                       {kills: []time.Duration{0, 30 * time.Second}},
		"again as they are found":     {kills: []time.Duration{0, 45 * time.Second}},
		"some before they hid theirs": {kills: []time.Duration{0}, taken: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const lines = 2000
				s := newSeam(t, lines)
				s.answer = func(line int) (time.Duration, execute.Reply) {
					if line%10 == 0 {
						return 2 * time.Second, answered()
					}
					return 200 * time.Millisecond, answered()
				}
				k := &killer{seam: s, from: lines * 4 / 10, kills: tc.kills, taken: tc.taken}
				s.before = k.before
				for range 20 {
					s.environment(0)
				}
				s.run(finalize.Config{}, nil)
				s.ended(lines)
				took := time.Since(k.last)
				t.Logf("%v from the kill to the end, %d calls repeated of %d open", took, s.repeated(), k.open)
				if len(k.kills) > 0 || took > time.Minute || s.repeated() > k.open {
					t.Errorf("%v from the kill to the end, %d calls repeated of %d open", took, s.repeated(), k.open)
				}
			})
		})
	}
}

// A killer kills all processes right before one writes its counter shard, at
// each of kills after the first time that so many lines are done; not while one
// has received messages that it has not hidden for its own, short time, which
// the queue would show after its own 16 minutes, but for so many events that
// are taken then.
type killer struct {
	seam  *seam
	from  int
	kills []time.Duration
	taken int

	mu          sync.Mutex
	first, last time.Time
	living      []*process
	open        int // requests that were processing at the kills
}

func (k *killer) before(p *process, write string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.alive() == nil && !slices.Contains(k.living, p) {
		k.living = append(k.living, p)
	}
	if len(k.kills) == 0 || write != "PutCounter" || k.seam.done() < k.from {
		return
	}
	if k.first.IsZero() {
		k.first = time.Now()
	}
	if time.Since(k.first) < k.kills[0] || !k.seam.queue.killTouched(k.living) {
		return
	}
	for range k.taken {
		k.seam.queue.receive(&process{seam: k.seam}, 10, seamVisibility)
	}
	k.kills, k.last = k.kills[1:], time.Now()
	k.living = nil
	k.open += k.seam.processing()
}

// TestCountsCannotBeWritten lets the writes of all workers' counts fail for two
// minutes: 3,000 lines.
func TestCountsCannotBeWritten(t *testing.T) {
	t.Parallel()
	rides := map[bool]ride{}
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const lines = 3000
			s := newSeam(t, lines)
			start := time.Now()
			s.answer = func(int) (time.Duration, execute.Reply) { return 3 * time.Second, answered() }
			s.putErr = func() error {
				if since := time.Since(start); fails && since > 20*time.Second && since < 140*time.Second {
					return errors.New("throttled")
				}
				return nil
			}
			for range 3 {
				s.environment(0)
			}
			s.workers.Go(func() {
				for most := 0; s.ctx.Err() == nil; s.sleep(time.Second) {
					n := s.done()
					if n < most || n > lines {
						t.Errorf("after %v the counts say %d, and said %d of %d", time.Since(start), n, most, lines)
					}
					most = n
				}
			})
			rides[fails] = s.run(finalize.Config{}, nil)
			s.ended(lines)
			if n := s.done(); n != lines {
				t.Errorf("the counts say %d of %d", n, lines)
			}
		})
	}
	t.Logf("%+v, and with the failure %+v", rides[false], rides[true])
	if further := rides[true].wakes - rides[false].wakes; further > 3 {
		t.Errorf("%d further wakes, want at most 3", further)
	}
}

// TestStarved gives a batch no worker for 25 minutes, while its messages wait: a
// fifth of 10,000 lines with 20 environments, and calls of half the time. In
// another ride a twentieth of what waits after two hours is lost: no message
// comes a second time that only waits in the long queue, and the end comes no
// later for those that do.
func TestStarved(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("hours of heartbeats take long")
	}
	const lines, wait = 2_000, 25 * time.Minute
	var served time.Duration
	for _, tt := range []struct {
		name    string
		starved time.Duration
		lose    bool
	}{{"served", 0, false}, {"starved", wait, false}, {"lossy", 0, true}} {
		synctest.Test(t, func(t *testing.T) {
			s := newSeam(t, lines)
			s.answer = func(line int) (time.Duration, execute.Reply) {
				return 90*time.Second + time.Duration(line*7919%180)*time.Second, answered()
			}
			for i := range 4 {
				s.environment(tt.starved + time.Duration(i)*time.Second)
			}
			lost := 0
			if tt.lose {
				s.workers.Go(func() {
					s.sleep(2 * time.Hour)
					lost = len(s.queue.lose(func(line int) bool { return line%20 == 0 }))
				})
			}
			r := s.run(finalize.Config{}, nil)
			s.ended(lines)
			served = cmp.Or(served, r.took)
			took, sent := r.took-tt.starved, s.queue.sentSoFar()
			t.Logf("%s: %v, %+v, %d lost, %d messages sent", tt.name, took, r, lost, sent)
			if took*100 > served*105 || r.wakes > 60 {
				t.Errorf("%s: took %v, want at most 1.05 times %v; %d wakes, want at most 60", tt.name, took, served, r.wakes)
			}
			if sent*100 > lines*112 || lost == 0 && tt.lose {
				t.Errorf("%s: %d messages were sent for %d lines, of which %d were lost; want at most 1.12 times as many", tt.name, sent, lines, lost)
			}
		})
	}
}

// TestLostInALongQueue loses messages of a batch whose queue takes up to 10 and 40
// minutes to hand one out. Where it has an order, what is lost is enqueued again at
// the flow's next turn after the longest that others wait; where it has none, at
// the next turn after several times what others wait on average. Few others are.
func TestLostInALongQueue(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("hours of heartbeats take long")
	}
	const lines = 2_000
	for _, tt := range []struct {
		ordered      bool
		environments int
		every        time.Duration // a message is lost
	}{
		{true, 4, 5 * time.Minute},
		{true, 30, 40 * time.Second},
		{false, 4, 5 * time.Minute},
		{false, 30, 40 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSeam(t, lines)
			s.answer = func(line int) (time.Duration, execute.Reply) {
				return 90*time.Second + time.Duration(line*7919%180)*time.Second, answered()
			}
			s.queue.ordered = tt.ordered
			for i := range tt.environments {
				s.environment(time.Duration(i) * time.Second)
			}
			lost := map[int]time.Time{}
			s.workers.Go(func() {
				for s.sleep(tt.every); s.ctx.Err() == nil; s.sleep(tt.every) {
					if line, ok := s.queue.loseOne(); ok {
						lost[line] = time.Now()
					}
				}
			})
			r := s.run(finalize.Config{}, nil)
			s.ended(lines)
			mean, longest := s.queue.waited(lost)
			latest, sent := time.Duration(0), s.queue.sentSoFar()
			for line, at := range lost {
				latest = max(latest, s.queue.sentAgain(line, at))
			}
			limit := 2*finalize.LongPark + 2*time.Minute
			if tt.ordered {
				limit += longest
			} else {
				limit += 5 * mean
			}
			t.Logf("%+v: %v, %d lost, the last enqueued again after %v; others waited for %v, %v at most; %d messages sent",
				tt, r.took, len(lost), latest, mean, longest, sent)
			if len(lost) < 20 || latest > limit || sent*100 > lines*112 {
				t.Errorf("%+v: %d lost, the last enqueued again after %v, want at most %v; %d messages sent, want at most 1.12 times %d",
					tt, len(lost), latest, limit, sent, lines)
			}
		})
	}
}

// TestLostMessages loses messages of a batch that goes on all the time.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(line int) bool{
		"one":  func(line int) bool { return line == 77 },
		"many": func(line int) bool { return line%3 == 0 },
		"all":  func(int) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const lines = 400
				s := newSeam(t, lines)
				s.answer = func(line int) (time.Duration, execute.Reply) {
					if line > 300 { // these keep the batch moving for hours
						return time.Duration(line-300) * time.Minute / 12, answered()
					}
					return time.Second, answered()
				}
				var mu sync.Mutex // of the next two
				var lostAt time.Time
				lost, latest := map[int]bool{}, time.Duration(0)
				for range 45 {
					s.environment(time.Minute)
				}
				once := sync.OnceFunc(func() {
					s.workers.Go(func() {
						s.sleep(30 * time.Second)
						mu.Lock()
						defer mu.Unlock()
						for _, line := range s.queue.lose(lose) {
							lost[line] = true
						}
						lostAt = time.Now()
					})
				})
				answer := s.answer
				s.answer = func(line int) (time.Duration, execute.Reply) {
					mu.Lock()
					defer mu.Unlock()
					if lost[line] {
						latest = max(latest, time.Since(lostAt))
					}
					return answer(line)
				}
				r := s.run(finalize.Config{}, once)
				s.ended(lines)
				t.Logf("%d lost; the last was called %v later; %+v", len(lost), latest, r)
				if len(lost) == 0 || latest > 15*time.Minute {
					t.Errorf("%d lost; the last was called %v later", len(lost), latest)
				}
			})
		})
	}
}
