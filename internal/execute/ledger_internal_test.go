package execute

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

// TestLedger leads messages of one batch through their standings and checks what
// the ledger says of the batch, of what is kept hidden, and of what is left over.
func TestLedger(t *testing.T) {
	t.Parallel()
	type want struct {
		tally    tally
		extended []string
		stay     []string
		released []string
		withheld bool
	}
	for name, tc := range map[string]struct {
		do   func(l *ledger, a, b *job)
		want want
	}{
		"both are under way": {
			do: func(*ledger, *job, *job) {},
			want: want{
				tally: tally{pending: 2}, extended: []string{"a", "b"}, stay: []string{"a", "b", "unreadable"},
			},
		},
		"one is called": {
			do: func(l *ledger, a, _ *job) { l.claim(a.ref()); l.reach(a, calling) },
			want: want{
				tally: tally{pending: 2, inHand: 1, claimed: 1}, extended: []string{"a", "b"}, stay: []string{"a", "b", "unreadable"},
			},
		},
		"one waits for its commit, and one is isolated": {
			do: func(l *ledger, a, b *job) { l.reach(a, calling); l.reach(a, buffered); l.settle(b, isolate{}) },
			want: want{
				tally: tally{inHand: 1}, extended: []string{"a", "b"}, stay: []string{"a", "b", "unreadable"},
			},
		},
		"one is isolated, and taken up": {
			do: func(l *ledger, a, _ *job) {
				l.settle(a, isolate{})
				l.begin(a)
			},
			want: want{
				tally: tally{pending: 2}, extended: []string{"a", "b"}, stay: []string{"a", "b", "unreadable"},
			},
		},
		"one is acknowledged, and one goes back": {
			do: func(l *ledger, a, b *job) {
				l.claim(a.ref())
				l.lose(a.ref())
				l.settle(a, acknowledge{})
				l.stopExtending(b)
				l.settle(b, requeue{})
			},
			want: want{extended: []string{"a"}, stay: []string{"b", "unreadable"}},
		},
		"one is released in the end": {
			do: func(l *ledger, a, b *job) { l.settle(a, releaseAtEnd{}); l.settle(b, acknowledge{}) },
			want: want{
				tally: tally{leftBehind: true}, extended: []string{"a", "b"}, stay: []string{"a", "unreadable"}, released: []string{"a"},
			},
		},
		"one is withheld": {
			do: func(l *ledger, a, b *job) { l.stopExtending(a); l.settle(a, withhold{}); l.settle(b, leaveHidden{}) },
			want: want{
				tally: tally{leftBehind: true}, extended: []string{"b"}, stay: []string{"a", "b", "unreadable"}, withheld: true,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			var jobs []*job
			for i, id := range []string{"a", "b"} {
				j := &job{delivery: batch.Delivery{MessageID: id, Handle: id}}
				l.enter(j)
				j.message = batch.Message{Tenant: "acme", Batch: "batch", Line: i + 1}
				l.begin(j)
				jobs = append(jobs, j)
			}
			unreadable := &job{delivery: batch.Delivery{MessageID: "unreadable", Handle: "unreadable"}}
			l.enter(unreadable)
			l.settle(unreadable, requeue{})
			tc.do(l, jobs[0], jobs[1])
			got := want{tally: l.of(jobs[0].ref()), extended: handlesOf(l.extended(time.Now())), stay: l.unacknowledged()}
			var leased bool
			got.released, leased, got.withheld = l.leftovers()
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}, tally{})); diff != "" {
				t.Errorf("the ledger (-want +got):\n%s", diff)
			}
			if leased != (tc.want.tally.claimed > 0) {
				t.Errorf("this worker has leases: %t", leased)
			}
		})
	}
}
