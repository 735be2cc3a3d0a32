package batch_test

import (
	"cmp"
	"errors"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

var errStore = errors.New("the store is down")

// finds returns batches of tenant t by their ids, and fails where one's id is "down".
func finds(statuses map[string]batch.Status) batch.Find {
	return func(ref batch.Ref) (batch.Batch, error) {
		status, ok := statuses[ref.ID]
		switch {
		case ref.ID == "down":
			return batch.Batch{}, errStore
		case !ok || ref.Tenant != "t":
			return batch.Batch{}, batch.ErrNotFound
		}
		return batch.Batch{Ref: ref, Status: status}, nil
	}
}

// statuses are all that a batch can have, and whether it has ended with one.
func statuses() map[batch.Status]bool {
	return map[batch.Status]bool{
		batch.StatusValidating: false, batch.StatusInProgress: false, batch.StatusFinalizing: false, batch.StatusCanceling: false,
		batch.StatusCompleted: true, batch.StatusExpired: true, batch.StatusCanceled: true, batch.StatusFailed: true,
	}
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	now := ms(noon())
	taken := func(before time.Duration) string {
		id, err := batch.NewID(batch.PrefixBatch, now.Add(-before), strings.NewReader("0123456789"))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	young, old := taken(10*time.Minute), taken(10*time.Minute+time.Millisecond)
	const running, ended = "running", "ended"
	known := map[string]batch.Status{running: batch.StatusInProgress, ended: batch.StatusCompleted}
	type test struct {
		tenant string // t
		pins   []string
		of     map[string]batch.Status
		want   []string
		err    error
	}
	file := "file-" + strings.TrimPrefix(young, batch.PrefixBatch)
	tests := map[string]test{
		"no pin":                           {},
		"of a batch that is not there yet": {pins: []string{young}},
		"of one that never came to be":     {pins: []string{old}, want: []string{old}},
		"of an old one that is there":      {pins: []string{old}, of: map[string]batch.Status{old: batch.StatusValidating}},
		"of an id that nobody gave":        {pins: []string{"x"}, want: []string{"x"}},
		"of a file's id":                   {pins: []string{file}, want: []string{file}},
		"of several":                       {pins: []string{ended, running, old, young}, of: known, want: []string{ended, old}},
		"of another tenant's batch":        {tenant: "u", pins: []string{running}, of: known, want: []string{running}},
		"of one that cannot be looked up":  {pins: []string{ended, "down"}, of: known, err: errStore},
	}
	for status, ended := range statuses() {
		tc := test{pins: []string{"b"}, of: map[string]batch.Status{"b": status}}
		if ended {
			tc.want = tc.pins
		}
		tests["of a batch that is "+string(status)] = tc
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := batch.File{Tenant: cmp.Or(tc.tenant, "t"), ID: "file-a", PinnedBy: tc.pins}
			got, err := f.Orphans(now, finds(tc.of))
			if diff := gocmp.Diff(tc.want, got); diff != "" || !errors.Is(err, tc.err) {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if diff := gocmp.Diff(tc.pins, f.PinnedBy); diff != "" {
				t.Errorf("the file's pins changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnfinished(t *testing.T) {
	t.Parallel()
	for status, ended := range statuses() {
		f := batch.File{Tenant: "t", ID: "file-a", Batch: "b"}
		if got, err := f.Unfinished(finds(map[string]batch.Status{"b": status})); got == ended || err != nil {
			t.Errorf("a result of a batch that is %s is unfinished: %t, %v", status, got, err)
		}
	}
	for name, tc := range map[string]struct {
		of  string
		err error
	}{
		"no result":                       {},
		"of a batch that is not there":    {of: "gone"},
		"of one that cannot be looked up": {of: "down", err: errStore},
	} {
		f := batch.File{Tenant: "t", ID: "file-a", Batch: tc.of}
		if got, err := f.Unfinished(finds(nil)); got || !errors.Is(err, tc.err) {
			t.Errorf("%s: unfinished: %t, %v", name, got, err)
		}
	}
}
