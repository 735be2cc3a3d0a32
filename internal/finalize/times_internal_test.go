package finalize

import (
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// at returns a turn whose clock stands still.
func at(now time.Time) *turn {
	return New(Deps{Clock: func() time.Time { return now }}, Config{}).turn()
}

func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func running(change func(*batch.Batch)) batch.Batch {
	b := batch.Batch{
		Status: batch.StatusInProgress, InProgressAt: start(), Deadline: start().Add(24 * time.Hour),
		Counts: batch.Counts{Total: 1_000},
	}
	change(&b)
	return b
}

// TestParkings checks how long a batch is parked for at a time.
func TestParkings(t *testing.T) {
	t.Parallel()
	now := start().Add(time.Hour)
	for name, tc := range map[string]struct {
		change func(*batch.Batch)
		want   Next
	}{
		"nothing is due": {func(*batch.Batch) {}, NextLong},
		"its end comes exactly after a long park": {func(b *batch.Batch) { b.Deadline = now.Add(LongPark) }, NextLong},
		"its end comes sooner":                    {func(b *batch.Batch) { b.Deadline = now.Add(LongPark - time.Second) }, NextMedium},
		"its end comes in 25 s":                   {func(b *batch.Batch) { b.Deadline = now.Add(25 * time.Second) }, NextMedium},
		"its end comes in less":                   {func(b *batch.Batch) { b.Deadline = now.Add(24 * time.Second) }, NextShort},
		"a sample is looked at in 30 s": {func(b *batch.Batch) {
			b.Reconciled.Reenqueue = batch.Reenqueue{Sample: 1, At: now.Add(30 * time.Second)}
		}, NextMedium},
		"a sample is looked at later": {func(b *batch.Batch) {
			b.Reconciled.Reenqueue = batch.Reenqueue{Sample: 1, At: now.Add(31 * time.Second)}
		}, NextLong},
		"no sample is on": {func(b *batch.Batch) {
			b.Reconciled.Reenqueue = batch.Reenqueue{At: now.Add(time.Second)}
		}, NextLong},
		"a recount is due in 10 s":  {func(b *batch.Batch) { b.RecountAt = now.Add(10 * time.Second) }, NextShort},
		"a recount is due in 11 s":  {func(b *batch.Batch) { b.RecountAt = now.Add(11 * time.Second) }, NextMedium},
		"a recount is due in 1 min": {func(b *batch.Batch) { b.RecountAt = now.Add(time.Minute) }, NextMedium},
		"a recount is due later":    {func(b *batch.Batch) { b.RecountAt = now.Add(61 * time.Second) }, NextLong},
		"it asks for more soon":     {func(b *batch.Batch) { b.Reconciled.AskAt = now.Add(25 * time.Second) }, NextMedium},
		"it asks for more later":    {func(b *batch.Batch) { b.Reconciled.AskAt = now.Add(26 * time.Second) }, NextLong},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := at(now).parking(running(tc.change)); got != tc.want {
				t.Errorf("it parks by %q, want %q", got, tc.want)
			}
		})
	}
}

// TestLeft checks how long it is until a batch stops.
func TestLeft(t *testing.T) {
	t.Parallel()
	now := start().Add(time.Hour)
	for name, tc := range map[string]struct {
		change func(*batch.Batch)
		want   time.Duration
	}{
		"at its deadline":             {func(*batch.Batch) {}, 23 * time.Hour},
		"cancelled":                   {func(b *batch.Batch) { b.CancelingAt = now.Add(-2 * time.Second) }, -2 * time.Second},
		"cancelled past its deadline": {func(b *batch.Batch) { b.Deadline, b.CancelingAt = now, now.Add(time.Second) }, 0},
		"given up":                    {func(b *batch.Batch) { b.FailCause, b.FailingSince = "a reason", now }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := at(now).untilStop(running(tc.change)); got != tc.want {
				t.Errorf("%v are left, want %v", got, tc.want)
			}
		})
	}
}

// TestDue checks by when a batch's work must go on: at its pace so far, the rest
// is done by its deadline.
func TestDue(t *testing.T) {
	t.Parallel()
	deadline := start().Add(24 * time.Hour)
	for done, want := range map[int]time.Time{
		0:     deadline, // nobody knows its pace
		1:     deadline.Add(-batch.MaxWindow),
		100:   deadline.Add(-9 * time.Hour),
		500:   deadline.Add(-time.Hour),
		1_000: deadline,
	} {
		if got := at(start().Add(time.Hour)).due(running(func(*batch.Batch) {}), done); !got.Equal(want) {
			t.Errorf("with %d done it is due at %v, want %v", done, got, want)
		}
	}
}
