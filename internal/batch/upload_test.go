package batch_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// uploads returns an upload of 100 bytes in each of its situations.
func uploads() map[string]batch.Upload {
	u := batch.Upload{Tenant: "acme", ID: "upload_1", Bytes: 100, Status: batch.UploadPending, CreatedAt: noon()}
	begun, completed, canceled, expired := u, u, u, u
	begun.Order, begun.Sum = "ab", "5EB6"
	completed.Order, completed.Sum, completed.Status = "ab", "5EB6", batch.UploadCompleted
	canceled.Status = batch.UploadCanceled
	expired.CreatedAt = noon().Add(-time.Hour)
	late := begun
	late.CreatedAt = expired.CreatedAt
	return map[string]batch.Upload{
		"pending": u, "begun": begun, "begun long ago": late, "completed": completed, "cancelled": canceled, "expired": expired,
	}
}

// fate says in one word what an operation of an upload came to.
func fate(err error) string {
	var status *batch.UploadError
	var limit *tenant.LimitError
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &status):
		return string(status.Status)
	case errors.As(err, &limit):
		return limit.Of
	case errors.Is(err, batch.ErrUploadBegun):
		return "begun"
	case errors.Is(err, batch.ErrUploadOrder):
		return "order"
	case errors.Is(err, batch.ErrUploadSum):
		return "sum"
	case errors.Is(err, batch.ErrUploadTries):
		return "tries"
	case errors.Is(err, batch.ErrUploadJoining):
		return "joining"
	}
	return err.Error()
}

// TestUploads says what each operation comes to in each situation of an upload.
func TestUploads(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]struct {
		op   func(u *batch.Upload) error
		want map[string]string // by situation
	}{
		"a part": {func(u *batch.Upload) error { return u.ReservePart(1, noon()) }, map[string]string{
			"pending": "done", "begun": "begun", "begun long ago": "begun", "completed": "completed", "cancelled": "cancelled", "expired": "expired",
		}},
		"a try": {func(u *batch.Upload) error { return u.Try("ab", "", "file-1", noon()) }, map[string]string{
			"pending": "done", "begun": "done", "begun long ago": "done", "completed": "completed", "cancelled": "cancelled", "expired": "expired",
		}},
		"a try with other parts": {func(u *batch.Upload) error { return u.Try("ba", "", "file-1", noon()) }, map[string]string{
			"pending": "done", "begun": "order", "begun long ago": "order", "completed": "completed", "cancelled": "cancelled", "expired": "expired",
		}},
		"its beginning": {func(u *batch.Upload) error { return u.Begin("ab", "5eb6", noon()) }, map[string]string{
			"pending": "done", "begun": "done", "begun long ago": "done", "completed": "completed", "cancelled": "cancelled", "expired": "expired",
		}},
		"its beginning with another MD5": {func(u *batch.Upload) error { return u.Begin("ab", "0000", noon()) }, map[string]string{
			"pending": "done", "begun": "sum", "begun long ago": "sum", "completed": "completed", "cancelled": "cancelled", "expired": "expired",
		}},
		"the same completion": {func(u *batch.Upload) error { return u.Matches("ab", "5eb6") }, map[string]string{
			"pending": "order", "begun": "done", "begun long ago": "done", "completed": "done", "cancelled": "order", "expired": "order",
		}},
		"the same, whatever its MD5": {func(u *batch.Upload) error { return u.Matches("ab", "") }, map[string]string{
			"begun": "done", "completed": "done",
		}},
		"the same with another MD5": {func(u *batch.Upload) error { return u.Matches("ab", "0000") }, map[string]string{
			"begun": "sum", "completed": "sum",
		}},
		"another completion": {func(u *batch.Upload) error { return u.Matches("ba", "5eb6") }, map[string]string{
			"begun": "order", "completed": "completed",
		}},
		"its end": {(*batch.Upload).Complete, map[string]string{
			"pending": "done", "begun": "done", "begun long ago": "done", "completed": "done", "cancelled": "cancelled",
		}},
		"a cancel": {func(u *batch.Upload) error { return u.Cancel(noon()) }, map[string]string{
			"pending": "done", "begun": "begun", "begun long ago": "begun", "completed": "completed", "cancelled": "done", "expired": "expired",
		}},
	} {
		for situation, want := range do.want {
			u := uploads()[situation]
			if got := fate(do.op(&u)); got != want {
				t.Errorf("%s of one that is %s: %s, want %s", name, situation, got, want)
			}
		}
	}
}

// TestUploadTakesItsBytes reserves parts of an upload of 100 bytes.
func TestUploadTakesItsBytes(t *testing.T) {
	t.Parallel()
	u := uploads()["pending"]
	for i, step := range []struct {
		bytes    int64
		want     string
		reserved int64
		parts    int
	}{{60, "done", 60, 1}, {41, tenant.LimitUploadBytes, 60, 1}, {40, "done", 100, 2}, {1, tenant.LimitUploadBytes, 100, 2}, {0, "done", 100, 3}} {
		got := fate(u.ReservePart(step.bytes, noon().Add(time.Duration(i))))
		if got != step.want || u.Reserved != step.reserved || u.ReservedParts != step.parts {
			t.Errorf("part %d: %s, with %d bytes of %d parts reserved", i, got, u.Reserved, u.ReservedParts)
		}
	}
	u.CancelReservation(40)
	if u.Reserved != 60 || u.ReservedParts != 2 {
		t.Errorf("%d bytes of %d parts are reserved once 40 were not stored", u.Reserved, u.ReservedParts)
	}
	stored := []batch.Stored{{Bytes: 30}, {Bytes: 20}}
	if u.Recount(stored, noon()); u.Reserved != 60 {
		t.Errorf("a recount that a part has overtaken says %d", u.Reserved)
	}
	if u.Recount(stored, u.ReservedAt); u.Reserved != 50 || u.ReservedParts != 2 {
		t.Errorf("a recount says %d bytes of %d parts", u.Reserved, u.ReservedParts)
	}
	u.ReservedParts = batch.MaxUploadParts - 1
	for _, want := range []string{"done", tenant.LimitParts} {
		if got := fate(u.ReservePart(1, noon())); got != want {
			t.Errorf("with %d parts: %s, want %s", u.ReservedParts, got, want)
		}
	}
}

// TestUploadIsTriedSomeTimes completes an upload with parts of another MD5.
func TestUploadIsTriedSomeTimes(t *testing.T) {
	t.Parallel()
	u := uploads()["pending"]
	for i := range batch.MaxUploadTries {
		if got := fate(u.Try("ab", "0000", "file-"+string(rune('a'+i)), noon())); got != "done" || u.FileID != "file-a" {
			t.Fatalf("try %d: %s, of %s", i, got, u.FileID)
		}
	}
	if got := fate(u.Try("ab", "0000", "file-z", noon())); got != "tries" {
		t.Errorf("once more: %s", got)
	}
	u.Saw("ab", "5eb6")
	for _, try := range []struct{ order, sum, want string }{
		{"ab", "0000", "sum"}, {"ab", "5EB6", "tries"}, {"ba", "0000", "tries"}, {"ab", "", "tries"},
	} {
		if got := fate(u.Try(try.order, try.sum, "file-z", noon())); got != try.want {
			t.Errorf("once it was seen, %+v: %s", try, got)
		}
	}
}

// TestOneCompletionJoins has completions of one upload follow each other: one
// joins its parts until it lets go, is done, or is not heard of.
func TestOneCompletionJoins(t *testing.T) {
	t.Parallel()
	u := uploads()["pending"]
	at := func(after time.Duration) time.Time { return noon().Add(after) }
	for i, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return u.Rejoin("a", at(0)) }, "joining"},
		{func() error { return u.Join("a", at(0)) }, "done"},
		{func() error { return u.Join("b", at(batch.UploadLease-1)) }, "joining"},
		{func() error { return u.Rejoin("a", at(5*time.Second)) }, "done"},
		{func() error { return u.Join("b", at(batch.UploadLease)) }, "joining"},
		{func() error { return u.Join("b", at(batch.UploadLease+5*time.Second)) }, "done"},
		{func() error { return u.Rejoin("a", at(batch.UploadLease+6*time.Second)) }, "joining"},
		{func() error { u.LetGo("a"); return u.Join("c", at(batch.UploadLease+6*time.Second)) }, "joining"},
		{func() error { u.LetGo("b"); return u.Join("c", at(batch.UploadLease+6*time.Second)) }, "done"},
		{func() error { return u.Complete() }, "done"},
		{func() error { return u.Rejoin("c", at(batch.UploadLease+7*time.Second)) }, "joining"},
	} {
		if got := fate(step.do()); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	if u.Joined(at(batch.UploadLease + 7*time.Second)) {
		t.Error("a completed upload's parts are joined")
	}
}

// TestUploadExpires says when an upload does, and that one whose completion has
// begun never does.
func TestUploadExpires(t *testing.T) {
	t.Parallel()
	got := map[string][2]batch.UploadStatus{}
	for name, u := range uploads() {
		u.CreatedAt = noon()
		got[name] = [2]batch.UploadStatus{u.StatusAt(noon().Add(time.Hour - 1)), u.StatusAt(noon().Add(time.Hour))}
	}
	want := map[string][2]batch.UploadStatus{
		"pending": {"pending", "expired"}, "expired": {"pending", "expired"}, "begun": {"pending", "pending"},
		"begun long ago": {"pending", "pending"}, "completed": {"completed", "completed"}, "cancelled": {"cancelled", "cancelled"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("before and after (-want +got):\n%s", diff)
	}
}
