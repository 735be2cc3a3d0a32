package batch_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// noon is odd in every way that a store does not keep.
func noon() time.Time {
	return time.Date(2031, 5, 17, 12, 0, 0, 123_456_789, time.FixedZone("odd", 5*3600+1800))
}

func ms(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

const total = 3

// fresh returns a batch as it is created.
func fresh() batch.Batch {
	return batch.Batch{
		Ref: batch.Ref{Tenant: "t", ID: "batch_a"}, Endpoint: "/v1/chat/completions", InputFileID: "file-in",
		Status: batch.StatusValidating, CreatedAt: ms(noon()), Deadline: ms(noon()).Add(time.Hour),
	}
}

func TestSpec(t *testing.T) {
	t.Parallel()
	b := fresh()
	b.Shards, b.Models = 3, []string{"a", "m"}
	body := state.Span{Offset: 5, Length: 9}
	want := state.Spec{
		Key: state.Key{Batch: "batch_a", Line: 7, Shard: 1}, CustomID: "c", Model: 2, Body: body, Deadline: b.Deadline,
	}
	if diff := cmp.Diff(want, b.Spec(7, batch.Input{CustomID: "c", Model: "m"}, body)); diff != "" {
		t.Errorf("Spec (-want +got):\n%s", diff)
	}
	b.Policy.StopBeforeDeadline = time.Minute
	want.RetryUntil = b.Deadline.Add(-time.Minute)
	if diff := cmp.Diff(want, b.Spec(7, batch.Input{CustomID: "c", Model: "m"}, body)); diff != "" {
		t.Errorf("Spec with a margin (-want +got):\n%s", diff)
	}
}

func ok(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// situations returns a batch in every situation that its methods tell apart,
// each come to by the methods.
func situations(t *testing.T) map[string]batch.Batch {
	t.Helper()
	all := map[string]batch.Batch{}
	come := func(name string, from batch.Batch, steps func(b *batch.Batch) error) batch.Batch {
		ok(t, steps(&from))
		all[name] = from
		return from
	}
	done := batch.Counts{Total: total, Completed: 1, Failed: 1, Canceled: 1}
	completed := batch.Counts{Total: total, Completed: 2, Failed: 1}
	late := batch.Counts{Total: total, Completed: 2, Expired: 1}

	validating := come("validating", fresh(), func(*batch.Batch) error { return nil })
	validated := come("validated", validating, func(b *batch.Batch) error { return b.Validated(total) })
	running := come("in_progress", validated, func(b *batch.Batch) error { return b.Loaded(total, 99, noon()) })
	come("cancelling", validating, func(b *batch.Batch) error { return b.Cancel(noon()) })
	come("cancelling, validated", validated, func(b *batch.Batch) error { return b.Cancel(noon()) })
	canceling := come("cancelling, loaded", running, func(b *batch.Batch) error { return b.Cancel(noon()) })
	failing := come("given up", running, func(b *batch.Batch) error { return b.Fail(batch.FailFlow, batch.InternalError("no more"), noon()) })

	sealed := come("finalizing", running, func(b *batch.Batch) error { return b.Seal(completed, noon()) })
	sealedCanceled := come("finalizing, cancelled", canceling, func(b *batch.Batch) error { return b.Seal(done, noon()) })
	sealedLate := come("finalizing, late", running, func(b *batch.Batch) error { return b.Seal(late, noon()) })
	sealedFailing := come("finalizing, given up", failing, func(b *batch.Batch) error { return b.Seal(late, noon()) })
	sealedUnread := come("finalizing, unread", validating, func(b *batch.Batch) error { return b.Seal(batch.Counts{}, noon()) })
	end := func(b *batch.Batch) error { return b.End(noon()) }
	come("completed", sealed, end)
	come("cancelled", sealedCanceled, end)
	come("expired", sealedLate, end)
	come("expired, unread", sealedUnread, end)
	come("failed, given up", sealedFailing, end)
	come("failed, refused", validating, func(b *batch.Batch) error { return b.Fail(batch.FailInput, nil, noon()) })
	come("failed, abandoned", running, func(b *batch.Batch) error { return b.Fail(batch.FailNow, batch.InternalError("lost"), noon()) })
	return all
}

// methods are all that may change a batch, each with arguments that suit it.
func methods() map[string]func(*batch.Batch) error {
	return map[string]func(*batch.Batch) error{
		"Validated": func(b *batch.Batch) error { return b.Validated(total) },
		"LoadSome":  func(b *batch.Batch) error { return b.Loaded(total-1, 66, noon()) },
		"LoadAll":   func(b *batch.Batch) error { return b.Loaded(total, 99, noon()) },
		"FailInput": func(b *batch.Batch) error {
			return b.Fail(batch.FailInput, []batch.LineError{{Code: "x", Line: 1}}, noon())
		},
		"Cancel":  func(b *batch.Batch) error { return b.Cancel(noon()) },
		"Enqueue": func(b *batch.Batch) error { return b.Enqueue(2) },
		"Reconcile": func(b *batch.Batch) error {
			b.Reconcile(b.Reconciled.See(b.Reconciled.Done+1, noon()))
			return nil
		},
		"AskRecount": func(b *batch.Batch) error {
			b.AskRecount(time.Time{}, false, noon())
			return nil
		},
		"Park": func(b *batch.Batch) error { return b.Park("token") },
		"Seal": func(b *batch.Batch) error {
			return b.Seal(batch.Counts{Total: b.Counts.Total, Completed: b.Counts.Total}, noon())
		},
		"End":      func(b *batch.Batch) error { return b.End(noon()) },
		"FailFlow": func(b *batch.Batch) error { return b.Fail(batch.FailFlow, batch.InternalError("cannot"), noon()) },
		"FailNow":  func(b *batch.Batch) error { return b.Fail(batch.FailNow, batch.InternalError("lost"), noon()) },
	}
}

// TestEveryMethodInEverySituation is the table of a batch's life: "-" is
// refused, "=" changes nothing, "~" changes something and not the status, and
// the name of a status is where the batch goes.
func TestEveryMethodInEverySituation(t *testing.T) {
	t.Parallel()
	const table = `
situation             Validated LoadSome LoadAll     FailInput Cancel     Enqueue Reconcile AskRecount Park Seal       End       FailFlow FailNow
validating            ~         -        -           failed    cancelling -       ~         ~          ~    finalizing -         ~        failed
validated             =         ~        in_progress failed    cancelling -       ~         ~          ~    finalizing -         ~        failed
in_progress           =         -        -           -         cancelling ~       ~         ~          ~    finalizing -         ~        failed
cancelling            ~         -        -           -         =          -       ~         ~          ~    finalizing -         ~        failed
cancelling,_validated =         ~        ~           -         =          -       ~         ~          ~    finalizing -         ~        failed
cancelling,_loaded    =         =        =           -         =          -       ~         ~          ~    finalizing -         ~        failed
given_up              =         -        -           -         cancelling ~       ~         ~          ~    finalizing -         =        failed
finalizing            =         -        -           -         -          -       =         =          ~    =          completed ~        failed
finalizing,_cancelled =         -        -           -         =          -       =         =          ~    =          cancelled ~        failed
finalizing,_late      =         -        -           -         -          -       =         =          ~    =          expired   ~        failed
finalizing,_given_up  =         -        -           -         -          -       =         =          ~    =          failed    =        failed
finalizing,_unread    -         -        -           -         -          -       =         =          ~    =          expired   ~        failed
completed             =         -        -           -         -          -       =         =          -    =          =         -        -
cancelled             =         -        -           -         =          -       =         =          -    =          =         -        -
expired               =         -        -           -         -          -       =         =          -    =          =         -        -
expired,_unread       -         -        -           -         -          -       =         =          -    =          =         -        -
failed,_given_up      =         -        -           -         -          -       =         =          -    =          =         -        -
failed,_refused       -         -        -           -         -          -       =         =          -    -          =         -        -
failed,_abandoned     =         -        -           -         -          -       =         =          -    -          =         -        -`
	lines := strings.Split(strings.TrimSpace(table), "\n")
	names := strings.Fields(lines[0])[1:]
	all := situations(t)
	if len(names) != len(methods()) || len(lines)-1 != len(all) {
		t.Fatalf("a table of %d situations and %d methods, want %d and %d", len(lines)-1, len(names), len(all), len(methods()))
	}
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		situation := strings.ReplaceAll(cells[0], "_", " ")
		if situation == "in progress" {
			situation = "in_progress"
		}
		before, found := all[situation]
		if !found {
			t.Fatalf("no situation %q", situation)
		}
		for i, name := range names {
			t.Run(situation+"/"+name, func(t *testing.T) {
				t.Parallel()
				b := before
				err := methods()[name](&b)
				if got := outcome(before, b, err); got != cells[i+1] {
					t.Errorf("%s of a batch %s: %s, want %s (%v)", name, situation, got, cells[i+1], err)
				}
			})
		}
	}
}

// outcome says what came of a call, in the words of the table.
func outcome(before, after batch.Batch, err error) string {
	var refused *batch.StatusError
	switch same := cmp.Equal(before, after); {
	case err != nil && !errors.As(err, &refused):
		return "a strange error"
	case err != nil && refused.Status != before.Status:
		return "a wrong status in the error"
	case err != nil && !same:
		return "refused and changed"
	case err != nil:
		return "-"
	case same:
		return "="
	case after.Status == before.Status:
		return "~"
	}
	return string(after.Status)
}

func TestSteps(t *testing.T) {
	t.Parallel()
	at := ms(noon())
	all := situations(t)
	some := func(name string, change func(*batch.Batch)) batch.Batch {
		b := all[name]
		change(&b)
		return b
	}
	done := batch.Counts{Total: total, Completed: 1, Failed: 1, Canceled: 1}
	cases := map[string]struct {
		from string
		call func(*batch.Batch) error
		want batch.Batch
	}{
		"validated": {"validating", methods()["Validated"], some("validating", func(b *batch.Batch) {
			b.Counts.Total, b.Shards, b.Load.Validated = total, 1, true
		})},
		"loaded in part": {"validated", methods()["LoadSome"], some("validated", func(b *batch.Batch) {
			b.Load = batch.LoadCursor{Validated: true, Line: total - 1, Offset: 66}
		})},
		"loaded whole": {"validated", methods()["LoadAll"], some("validated", func(b *batch.Batch) {
			b.Load = batch.LoadCursor{Validated: true, Line: total, Offset: 99}
			b.Status, b.InProgressAt = batch.StatusInProgress, at
		})},
		"loaded while cancelling": {"cancelling, validated", methods()["LoadAll"], some("cancelling, validated", func(b *batch.Batch) {
			b.Load = batch.LoadCursor{Validated: true, Line: total, Offset: 99}
		})},
		"refused": {"validating", methods()["FailInput"], some("validating", func(b *batch.Batch) {
			b.Status, b.FailedAt, b.Errors = batch.StatusFailed, at, []batch.LineError{{Code: "x", Line: 1}}
		})},
		"refused while loading": {"validated", methods()["FailInput"], some("validated", func(b *batch.Batch) {
			b.Status, b.FailedAt, b.Errors = batch.StatusFailed, at, []batch.LineError{{Code: "x", Line: 1}}
			b.Counts = batch.Counts{}
		})},
		"cancelled": {"in_progress", methods()["Cancel"], some("in_progress", func(b *batch.Batch) {
			b.Status, b.CancelingAt = batch.StatusCanceling, at
		})},
		"enqueued": {"in_progress", methods()["Enqueue"], some("in_progress", func(b *batch.Batch) { b.Enqueued = 2 })},
		"parked":   {"in_progress", methods()["Park"], some("in_progress", func(b *batch.Batch) { b.Token = "token" })},
		"sealed": {
			"cancelling, loaded", func(b *batch.Batch) error { return errors.Join(b.Park("token"), b.Seal(done, noon())) },
			some("cancelling, loaded", func(b *batch.Batch) {
				b.Status, b.FinalizingAt, b.Sealed, b.Counts, b.Token = batch.StatusFinalizing, at, true, done, ""
			}),
		},
		"given up": {"in_progress", methods()["FailFlow"], some("in_progress", func(b *batch.Batch) {
			b.FailCause, b.FailingSince = "cannot", at
		})},
		"abandoned": {"in_progress", methods()["FailNow"], some("in_progress", func(b *batch.Batch) {
			b.Status, b.FailedAt = batch.StatusFailed, at
			b.Errors = []batch.LineError{{Code: batch.CodeInternal, Message: "lost"}}
		})},
		"abandoned while loading": {"validated", methods()["FailNow"], some("validated", func(b *batch.Batch) {
			b.Status, b.FailedAt, b.Counts = batch.StatusFailed, at, batch.Counts{}
			b.Errors = []batch.LineError{{Code: batch.CodeInternal, Message: "lost"}}
		})},
		"ended, given up": {"finalizing, given up", methods()["End"], some("finalizing, given up", func(b *batch.Batch) {
			b.Status, b.FailedAt = batch.StatusFailed, at
			b.Errors = []batch.LineError{{Code: batch.CodeInternal, Message: "no more"}}
		})},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := all[c.from]
			ok(t, c.call(&b))
			if diff := cmp.Diff(c.want, b); diff != "" {
				t.Errorf("batch (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadNeverGoesBack(t *testing.T) {
	t.Parallel()
	b := fresh()
	ok(t, b.Validated(10), b.Loaded(7, 70, noon()), b.Loaded(5, 50, noon()), b.Validated(3))
	if want := (batch.LoadCursor{Validated: true, Line: 7, Offset: 70}); b.Load != want || b.Counts.Total != 10 {
		t.Errorf("load %+v of %d, want %+v of 10", b.Load, b.Counts.Total, want)
	}
}

// TestFileLives holds how long files live against what OpenAI documents, in
// seconds, and how long records are kept against that.
func TestFileLives(t *testing.T) {
	t.Parallel()
	got := []time.Duration{batch.MinFileLife / time.Second, batch.MaxFileLife / time.Second, batch.Retention / time.Second}
	if diff := cmp.Diff([]time.Duration{3_600, 2_592_000, 2_592_000}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEnqueueNeverGoesBack(t *testing.T) {
	t.Parallel()
	b := situations(t)["in_progress"]
	ok(t, b.Enqueue(3), b.Enqueue(1))
	if b.Enqueued != 3 {
		t.Errorf("enqueued %d, want 3", b.Enqueued)
	}
}

func TestFailKeepsSoManyErrors(t *testing.T) {
	t.Parallel()
	b := fresh()
	ok(t, b.Park("token"), b.Fail(batch.FailInput, make([]batch.LineError, batch.MaxErrors+1), noon()))
	if len(b.Errors) != batch.MaxErrors || b.Token != "" {
		t.Errorf("%d errors and token %q, want %d and none", len(b.Errors), b.Token, batch.MaxErrors)
	}
}

func TestSealCountsMustAddUp(t *testing.T) {
	t.Parallel()
	for name, counts := range map[string]batch.Counts{
		"nothing":            {},
		"too few":            {Total: total, Completed: total - 1},
		"too many":           {Total: total, Completed: total, Failed: 1},
		"of another total":   {Total: total + 1, Completed: total + 1},
		"of no total":        {Completed: total},
		"of a smaller total": {Total: total - 1, Completed: total - 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := situations(t)["in_progress"]
			before := b
			if err := b.Seal(counts, noon()); err == nil || !cmp.Equal(before, b) {
				t.Errorf("Seal(%+v) = %v, and the batch is %+v", counts, err, b)
			}
		})
	}
}

// TestEnd holds the last status against all that bears on it.
func TestEnd(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		counts   batch.Counts
		cancel   bool
		giveUp   bool
		want     batch.Status
		unloaded bool
	}{
		"all completed":               {counts: batch.Counts{Total: 3, Completed: 3}, want: batch.StatusCompleted},
		"all failed":                  {counts: batch.Counts{Total: 3, Failed: 3}, want: batch.StatusCompleted},
		"one expired":                 {counts: batch.Counts{Total: 3, Completed: 2, Expired: 1}, want: batch.StatusExpired},
		"one canceled by itself":      {counts: batch.Counts{Total: 3, Completed: 2, Canceled: 1}, want: batch.StatusCompleted},
		"cancelled":                   {counts: batch.Counts{Total: 3, Canceled: 3}, cancel: true, want: batch.StatusCanceled},
		"cancelled too late":          {counts: batch.Counts{Total: 3, Completed: 3}, cancel: true, want: batch.StatusCanceled},
		"cancelled and expired":       {counts: batch.Counts{Total: 3, Canceled: 2, Expired: 1}, cancel: true, want: batch.StatusCanceled},
		"given up":                    {counts: batch.Counts{Total: 3, Completed: 3}, giveUp: true, want: batch.StatusFailed},
		"given up and expired":        {counts: batch.Counts{Total: 3, Expired: 3}, giveUp: true, want: batch.StatusFailed},
		"given up and cancelled":      {counts: batch.Counts{Total: 3, Canceled: 3}, giveUp: true, cancel: true, want: batch.StatusCanceled},
		"expired while validating":    {unloaded: true, want: batch.StatusExpired},
		"cancelled while validating":  {unloaded: true, cancel: true, want: batch.StatusCanceled},
		"given up while validating":   {unloaded: true, giveUp: true, want: batch.StatusFailed},
		"all three while validating":  {unloaded: true, giveUp: true, cancel: true, want: batch.StatusCanceled},
		"one of each, not cancelling": {counts: batch.Counts{Total: 4, Completed: 1, Failed: 1, Expired: 1, Canceled: 1}, want: batch.StatusExpired},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := fresh()
			if !c.unloaded {
				ok(t, b.Validated(c.counts.Total), b.Loaded(c.counts.Total, 9, noon()))
			}
			if c.giveUp {
				ok(t, b.Fail(batch.FailFlow, batch.InternalError("because"), noon()))
			}
			if c.cancel {
				ok(t, b.Cancel(noon()))
			}
			b.WriteOut = batch.WriteOut{
				OutputID: "file-out", ErrorID: "file-err", Output: batch.Multipart{Done: true}, Error: batch.Multipart{Done: false},
			}
			ok(t, b.Seal(c.counts, noon()), b.End(noon()))
			if b.Status != c.want || b.Counts != c.counts {
				t.Errorf("ended %s with %+v, want %s with %+v", b.Status, b.Counts, c.want, c.counts)
			}
			if b.OutputFileID != "file-out" || b.ErrorFileID != "" {
				t.Errorf("files %q and %q, want the one that is whole", b.OutputFileID, b.ErrorFileID)
			}
		})
	}
}

// arrows are the ways between statuses, terminal ones having none out.
var arrows = map[batch.Status][]batch.Status{
	batch.StatusValidating: {
		batch.StatusInProgress, batch.StatusFailed, batch.StatusCanceling, batch.StatusFinalizing,
	},
	batch.StatusInProgress: {batch.StatusFinalizing, batch.StatusCanceling, batch.StatusFailed},
	batch.StatusCanceling:  {batch.StatusFinalizing, batch.StatusFailed},
	batch.StatusFinalizing: {batch.StatusCompleted, batch.StatusExpired, batch.StatusCanceled, batch.StatusFailed},
	batch.StatusCompleted:  nil,
	batch.StatusExpired:    nil,
	batch.StatusCanceled:   nil,
	batch.StatusFailed:     nil,
}

// TestLife calls anything at any time, most often what leads on, until lives
// have ended in every way.
func TestLife(t *testing.T) {
	t.Parallel()
	const rounds = 50 // one is enough, mostly
	left := make(map[batch.Status]bool)
	for status := range arrows {
		if status.Terminal() {
			left[status] = true
		}
	}
	for range rounds {
		rapid.Check(t, func(t *rapid.T) { delete(left, live(t)) })
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("no life ended %v", left)
}

// live lives one life and returns the status that it came to.
func live(t *rapid.T) batch.Status {
	b, now := fresh(), noon()
	n := rapid.IntRange(0, 20_000).Draw(t, "total")
	plan := rapid.SampledFrom(plans()).Draw(t, "plan")
	abandoned := false
	for range rapid.IntRange(20, 100).Draw(t, "calls") {
		now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "passed")))
		before := b
		name, err := anyCall(t, plan, &b, n, now)
		if (err != nil || before.Status.Terminal()) && !reflect.DeepEqual(before, b) { // cheaper than cmp.Diff
			t.Fatalf("%s (%v) changed a batch that was %s:\n%s", name, err, before.Status, cmp.Diff(before, b))
		}
		abandoned = abandoned || (name == "FailNow" && err == nil)
		checkStep(t, name, before, b)
	}
	checkEnd(t, b, abandoned)
	return b.Status
}

// anyCall calls one of b's methods, with any arguments that a caller may have.
func anyCall(t *rapid.T, plan []string, b *batch.Batch, n int, now time.Time) (name string, err error) {
	line := rapid.IntRange(0, n).Draw(t, "line")
	calls := map[string]func() error{
		"Validated": func() error { return b.Validated(n) },
		"Load":      func() error { return b.Loaded(line, int64(line)*10, now) },
		"LoadAll":   func() error { return b.Loaded(n, int64(n)*10, now) },
		"FailInput": func() error { return b.Fail(batch.FailInput, []batch.LineError{{Code: "x"}}, now) },
		"Cancel":    func() error { return b.Cancel(now) },
		"Enqueue":   func() error { return b.Enqueue(line) },
		"Reconcile": func() error { b.Reconcile(b.Reconciled.See(line, now)); return nil },
		"Park":      func() error { return b.Park(fmt.Sprint("token-", line)) },
		"Seal":      func() error { return b.Seal(countsOf(t, b.Counts.Total), now) },
		"SealDone":  func() error { return b.Seal(batch.Counts{Total: b.Counts.Total, Completed: b.Counts.Total}, now) },
		"SealWrong": func() error { return b.Seal(countsOf(t, line), now) },
		"End":       func() error { return b.End(now) },
		"FailFlow":  func() error { return b.Fail(batch.FailFlow, batch.InternalError("no more"), now) },
		"FailNow":   func() error { return b.Fail(batch.FailNow, batch.InternalError("lost"), now) },
	}
	name = rapid.SampledFrom(plan).Draw(t, "call")
	return name, calls[name]()
}

// plans are the calls that a life is made of. Most lead on, for a life of any
// calls at all ends early.
func plans() [][]string {
	onward := []string{"Validated", "Load", "LoadAll", "Enqueue", "Park", "Reconcile", "SealDone", "End"}
	askew := []string{"Seal", "SealWrong", "FailInput", "Cancel", "FailFlow", "FailNow"}
	with := func(calls ...string) []string { return slices.Concat(onward, onward, calls) }
	return [][]string{onward, with("Cancel"), with("Seal"), with("FailFlow"), with("Cancel", "FailFlow"), with(askew...)}
}

func countsOf(t *rapid.T, n int) batch.Counts {
	c := batch.Counts{Total: n}
	c.Completed = rapid.IntRange(0, n).Draw(t, "completed")
	c.Expired = rapid.IntRange(0, n-c.Completed).Draw(t, "expired")
	c.Canceled = rapid.IntRange(0, n-c.Completed-c.Expired).Draw(t, "canceled")
	c.Failed = n - c.Completed - c.Expired - c.Canceled
	return c
}

// checkStep holds one call's change against what no call may do.
func checkStep(t *rapid.T, name string, before, after batch.Batch) {
	if before.Status != after.Status {
		if !slices.Contains(arrows[before.Status], after.Status) {
			t.Fatalf("%s led from %s to %s", name, before.Status, after.Status)
		}
	}
	if before.Sealed && (!after.Sealed || before.Counts != after.Counts) {
		t.Fatalf("%s unfroze %+v to %+v", name, before.Counts, after.Counts)
	}
	if !before.Sealed && after.Sealed && after.Counts.Done() != after.Counts.Total {
		t.Fatalf("%s froze %+v", name, after.Counts)
	}
	if after.Enqueued < before.Enqueued || after.Load.Line < before.Load.Line || after.Load.Offset < before.Load.Offset {
		t.Fatalf("%s went back, from %d, %+v to %d, %+v", name, before.Enqueued, before.Load, after.Enqueued, after.Load)
	}
	was, is := instants(before), instants(after)
	for i, at := range is {
		if !was[i].IsZero() && was[i] != at {
			t.Fatalf("%s moved an instant from %v to %v", name, was[i], at)
		}
		if at != ms(at) { // not Equal: the zone must be gone, too
			t.Fatalf("%s kept %v, want milliseconds in UTC", name, at)
		}
	}
}

func instants(b batch.Batch) []time.Time {
	return []time.Time{
		b.CreatedAt, b.Deadline, b.InProgressAt, b.FinalizingAt, b.CancelingAt, b.FailingSince,
		b.CompletedAt, b.FailedAt, b.ExpiredAt, b.CanceledAt,
	}
}

// checkEnd holds what a batch came to against its status.
func checkEnd(t *rapid.T, b batch.Batch, abandoned bool) {
	for _, end := range []struct {
		status batch.Status
		at     time.Time
	}{
		{batch.StatusCompleted, b.CompletedAt},
		{batch.StatusFailed, b.FailedAt},
		{batch.StatusExpired, b.ExpiredAt},
		{batch.StatusCanceled, b.CanceledAt},
	} {
		if end.at.IsZero() == (end.status == b.Status) {
			t.Fatalf("a %s batch was %s at %v", b.Status, end.status, end.at)
		}
	}
	// A batch abandoned while it ran alone may end without an outcome for every line.
	lost := abandoned && !b.Sealed && !b.InProgressAt.IsZero()
	if b.Status.Terminal() && !lost && b.Counts.Done() != b.Counts.Total {
		t.Fatalf("a %s batch counts %+v", b.Status, b.Counts)
	}
	if b.Status == batch.StatusCanceled && !b.Canceling() {
		t.Fatal("cancelled, and nobody asked for it")
	}
	if b.Status == batch.StatusFailed && len(b.Errors) == 0 {
		t.Fatal("failed, and nothing says why")
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	failed := func(r state.Reason) state.Failed { return state.Failed{Reason: r} }
	cases := map[string]struct {
		phase state.Phase
		want  batch.Counts
	}{
		"pending":             {state.Pending{}, batch.Counts{}},
		"claimed":             {state.Claimed{}, batch.Counts{}},
		"processing":          {state.Processing{}, batch.Counts{}},
		"completed":           {state.Completed{}, batch.Counts{Completed: 1}},
		"failed":              {failed(state.Timeout{}), batch.Counts{Failed: 1}},
		"expired, not failed": {failed(state.Expired{}), batch.Counts{Expired: 1}},
		"terminated":          {failed(state.TaskTerminated{Deaths: 5}), batch.Counts{Failed: 1}},
		"canceled":            {state.Canceled{}, batch.Counts{Canceled: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := (batch.Counts{}).Add(c.phase); got != c.want {
				t.Errorf("Add = %+v, want %+v", got, c.want)
			}
		})
	}
	a := batch.Counts{Total: 1, Completed: 2, Failed: 3, Expired: 4, Canceled: 5}
	b := batch.Counts{Total: 10, Completed: 20, Failed: 30, Expired: 40, Canceled: 50}
	if got, want := a.Plus(b), (batch.Counts{Total: 11, Completed: 22, Failed: 33, Expired: 44, Canceled: 55}); got != want {
		t.Errorf("Plus = %+v, want %+v", got, want)
	}
	if got := b.Done(); got != 140 {
		t.Errorf("Done = %d, want 140", got)
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	for status, want := range map[batch.Status]bool{
		batch.StatusValidating: false, batch.StatusInProgress: false, batch.StatusFinalizing: false,
		batch.StatusCanceling: false, batch.StatusFailed: true, batch.StatusCompleted: true, batch.StatusExpired: true,
		batch.StatusCanceled: true, "": false,
	} {
		if got := status.Terminal(); got != want {
			t.Errorf("%q: Terminal() = %t, want %t", status, got, want)
		}
	}
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	b := fresh()
	for _, left := range []time.Duration{time.Hour, 1, 0, -1, -time.Hour} {
		if got, want := b.Overdue(b.Deadline.Add(-left)), left <= 0; got != want {
			t.Errorf("Overdue, %v left: %t, want %t", left, got, want)
		}
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	want := map[string]bool{
		"in_progress": true, "cancelling, loaded": true, "given up": true, "finalizing": true, "completed": true,
		"validating": false, "validated": false, "cancelling": false, "cancelling, validated": false,
	}
	all := situations(t)
	for situation, want := range want {
		if b := all[situation]; b.Ready() != want {
			t.Errorf("%s: Ready() = %t, want %t", situation, b.Ready(), want)
		}
	}
}

func TestStatusErrorText(t *testing.T) {
	t.Parallel()
	b := situations(t)["completed"]
	const want = "batch: cannot cancel a batch with status 'completed'"
	if err := b.Cancel(noon()); err == nil || err.Error() != want {
		t.Errorf("Cancel: %v, want %s", err, want)
	}
}
