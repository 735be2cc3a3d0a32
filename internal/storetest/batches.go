package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/retry"
)

func batchTrials() []trial[Store] {
	return []trial[Store]{
		{"Batch/comes back as it was", batchRoundTrips},
		{"Batch/every field", batchFields},
		{"Batch/any at all", batchAny},
		{"Batch/keeps milliseconds in its parts", batchTimes},
		{"Batch/a part of a copy without its source", batchGather},
		{"Batch/exists", batchExists},
		{"Batch/not found", batchNotFound},
		{"Batch/created by many at once", batchCreatedAtOnce},
		{"UpdateBatch/changes and counts revisions", updateChanges},
		{"UpdateBatch/an error changes nothing", updateFails},
		{"UpdateBatch/no change, no write", updateNothing},
		{"UpdateBatch/identity stays", updateIdentity},
		{"UpdateBatch/shares no memory", updateAliases},
		{"UpdateBatch/loses nothing among many writers", updateRace},
	}
}

// newBatch returns a batch with something in most fields.
func newBatch(tenantName string) batch.Batch {
	return batch.Batch{
		Ref:         batch.Ref{Tenant: tenantName, ID: unique("batch_")},
		Endpoint:    "/v1/chat/completions",
		InputFileID: unique("file-"),
		Window:      "24h",
		Metadata:    map[string]string{"customer": "Ünïted & Sons", "empty": "", "#pk": "'"},
		Policy:      retry.Default(),
		Status:      batch.StatusValidating,
		CreatedAt:   noon(),
		Deadline:    deadline(),
	}
}

// created stores b and returns it as it is stored.
func created(t tb, s Store, b batch.Batch) batch.Batch {
	t.Helper()
	ok(t, s.CreateBatch(t.Context(), b))
	got, err := s.Batch(t.Context(), b.Ref)
	ok(t, err)
	b.Rev = 1
	same(t, "created batch", got, b)
	return got
}

func batchRoundTrips(t *testing.T, s Store) {
	b := newBatch(unique("t-"))
	b.OutputExpiresAfter = 36*time.Hour + time.Nanosecond
	b.Policy.MaxRetries, b.Policy.Factor, b.Policy.Jitter = retry.Unlimited, 1.7, false
	b.Status, b.Sealed, b.Shards, b.Enqueued = batch.StatusFinalizing, true, 64, 49_999
	b.Counts = batch.Counts{Total: 50_000, Completed: 49_990, Failed: 4, Expired: 3, Canceled: 3}
	b.Load = batch.LoadCursor{Validated: true, Line: 50_000, Offset: 1 << 40}
	b.Token = strings.Repeat("T", 1024)
	b.OutputFileID, b.ErrorFileID = unique("file-"), unique("file-")
	for i := range batch.MaxErrors {
		b.Errors = append(b.Errors, batch.LineError{
			Code: batch.CodeInvalidURL, Line: i, Param: "url", Message: strings.Repeat("bad ", 100),
		})
	}
	for i := range 1_000 { // 5 GiB of output at the smallest parts
		b.WriteOut.Output.Parts = append(b.WriteOut.Output.Parts, fmt.Sprintf(`"%032d-1"`, i))
	}
	b.WriteOut.Output.UploadID, b.WriteOut.Output.Bytes = strings.Repeat("u", 128), 1<<33
	for i, at := range []*time.Time{
		&b.InProgressAt, &b.FinalizingAt, &b.CompletedAt, &b.FailedAt, &b.ExpiredAt, &b.CancelingAt, &b.CanceledAt,
	} {
		*at = noon().Add(time.Duration(i) * time.Hour)
	}
	created(t, s, b)

	created(t, s, batch.Batch{Ref: batch.Ref{Tenant: b.Tenant, ID: unique("batch_")}})
	b = newBatch(b.Tenant)
	b.Metadata, b.Errors = map[string]string{}, []batch.LineError{}
	b.CreatedAt = b.CreatedAt.Add(999 * time.Microsecond).In(time.FixedZone("", 3600))
	ok(t, s.CreateBatch(t.Context(), b))
	got, err := s.Batch(t.Context(), b.Ref)
	ok(t, err)
	b.Rev, b.CreatedAt = 1, noon()
	same(t, "times are kept in milliseconds, UTC", got, b)
}

func batchFields(t *testing.T, s Store) {
	b := Filled[batch.Batch]()
	b.Tenant = unique("t-")
	created(t, s, b)
	got, err := s.UpdateBatch(t.Context(), b.Ref, func(stored *batch.Batch) error {
		*stored = Filled[batch.Batch]()
		stored.Metadata["more"], stored.FailingSince = "yes", noon()
		return nil
	})
	ok(t, err)
	b.Rev, b.Metadata["more"], b.FailingSince = 2, "yes", noon()
	same(t, "updated batch", got, b)
}

// batchTimes holds the times in a batch's parts against those of the batch.
func batchTimes(t *testing.T, s Store) {
	fine := noon().Add(999 * time.Microsecond)
	b := newBatch(unique("t-"))
	b.Reconciled = batch.Reconciliation{
		MovedAt: fine, AskAt: fine, FilledAt: fine, RecountAt: fine, RecountedAt: fine,
		Enqueues: []batch.Enqueued{{Line: 1, At: fine}},
		Reenqueue: batch.Reenqueue{
			At: fine, PacedAt: fine, AllAt: fine, WaitingAt: fine, SampledAt: fine,
			Reenqueued: []batch.Enqueued{{Line: 3, At: fine}}, Unmoved: []batch.Enqueued{{Line: 2, At: fine}},
		},
	}
	ok(t, s.CreateBatch(t.Context(), b))
	want := batch.Reconciliation{
		MovedAt: noon(), AskAt: noon(), FilledAt: noon(), RecountAt: noon(), RecountedAt: noon(),
		Enqueues: []batch.Enqueued{{Line: 1, At: noon()}},
		Reenqueue: batch.Reenqueue{
			At: noon(), PacedAt: noon(), AllAt: noon(), WaitingAt: noon(), SampledAt: noon(),
			Reenqueued: []batch.Enqueued{{Line: 3, At: noon()}}, Unmoved: []batch.Enqueued{{Line: 2, At: noon()}},
		},
	}
	got, err := s.UpdateBatch(t.Context(), b.Ref, func(stored *batch.Batch) error {
		same(t, "what the flow remembers", stored.Reconciled, want)
		stored.Reconciled = b.Reconciled
		return nil
	})
	ok(t, err)
	same(t, "what the flow remembers", got.Reconciled, want)
	same(t, "revision", got.Rev, 1) // nothing has changed
	same(t, "the caller's own", b.Reconciled.Enqueues[0].At, fine)
}

func batchGather(t *testing.T, s Store) {
	b := newBatch(unique("t-"))
	b.Gather = batch.Gather{From: unique("file-"), File: batch.Multipart{Line: 9, Lines: 7}}
	created(t, s, b)
}

// anyBatch makes batches of any content.
func anyBatch(rt *rapid.T, tenantName string) batch.Batch {
	b := newBatch(tenantName)
	b.Metadata = rapid.MapOfN(rapid.StringN(1, 64, 64), rapid.StringN(0, 80, 512), 0, 16).Draw(rt, "metadata")
	b.Endpoint = rapid.String().Draw(rt, "endpoint")
	b.Window = rapid.String().Draw(rt, "window")
	b.Status = batch.Status(rapid.StringMatching(`[a-z_]{1,12}`).Draw(rt, "status"))
	b.Enqueued = rapid.IntRange(0, 1<<40).Draw(rt, "enqueued")
	b.Load.Offset = rapid.Int64Min(0).Draw(rt, "offset")
	b.Sealed = rapid.Bool().Draw(rt, "sealed")
	b.Token = rapid.String().Draw(rt, "token")
	b.Policy.Factor = rapid.Float64Range(1, 1e9).Draw(rt, "factor")
	b.Policy.MaxBackoff = time.Duration(rapid.Int64Min(0).Draw(rt, "max backoff"))
	b.WriteOut.Output.Parts = rapid.SliceOf(rapid.String()).Draw(rt, "parts")
	b.CompletedAt = time.UnixMilli(rapid.Int64Range(1, 1<<44).Draw(rt, "completed at")).UTC()
	b.Errors = rapid.SliceOf(rapid.Custom(func(rt *rapid.T) batch.LineError {
		return batch.LineError{
			Code: rapid.String().Draw(rt, "code"), Line: rapid.Int().Draw(rt, "line"),
			Message: rapid.String().Draw(rt, "message"),
		}
	})).Draw(rt, "errors")
	return b
}

func batchAny(t *testing.T, s Store) {
	owner := unique("t-")
	rapid.Check(t, func(rt *rapid.T) { created(rt, s, anyBatch(rt, owner)) })
}

func batchExists(t *testing.T, s Store) {
	b := created(t, s, newBatch(unique("t-")))
	again := b
	again.Endpoint = "/v1/embeddings"
	wantErr(t, s.CreateBatch(t.Context(), again), batch.ErrExists)
	wantErr(t, s.CreateBatch(t.Context(), b), batch.ErrExists)
	got, err := s.Batch(t.Context(), b.Ref)
	ok(t, err)
	same(t, "batch", got, b)

	again.Tenant += "1"
	again.Rev = 9
	created(t, s, again)
}

func batchNotFound(t *testing.T, s Store) {
	b := created(t, s, newBatch(unique("t-")))
	for _, ref := range []batch.Ref{
		{Tenant: b.Tenant + "1", ID: b.ID},
		{Tenant: b.Tenant, ID: b.ID + "1"},
		{Tenant: b.Tenant, ID: ""},
		{Tenant: b.Tenant, ID: strings.Repeat("long", 1000)},
	} {
		_, err := s.Batch(t.Context(), ref)
		wantErr(t, err, batch.ErrNotFound)
		_, err = s.UpdateBatch(t.Context(), ref, func(*batch.Batch) error { return nil })
		wantErr(t, err, batch.ErrNotFound)
	}
}

func batchCreatedAtOnce(t *testing.T, s Store) {
	b := newBatch(unique("t-"))
	errs := atOnce(racers, func(int) error { return s.CreateBatch(t.Context(), b) })
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantErr(t, err, batch.ErrExists)
		}
	}
	same(t, "creations", won, 1)
}

func updateChanges(t *testing.T, s Store) {
	b := created(t, s, newBatch(unique("t-")))
	got, err := s.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error { return b.Validated(12_345) })
	ok(t, err)
	ok(t, b.Validated(12_345))
	b.Rev = 2
	same(t, "updated batch", got, b)

	at := noon().Add(time.Microsecond)
	got, err = s.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
		b.CancelingAt = at
		b.Metadata["more"] = "yes"
		return b.Cancel(at)
	})
	ok(t, err)
	b.Rev, b.CancelingAt, b.Status, b.Metadata["more"] = 3, noon(), batch.StatusCanceling, "yes"
	same(t, "updated batch", got, b)
	stored, err := s.Batch(t.Context(), b.Ref)
	ok(t, err)
	same(t, "stored batch", stored, b)
}

func updateFails(t *testing.T, s Store) {
	b := created(t, s, newBatch(unique("t-")))
	refusal := errors.New("refused")
	_, err := s.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
		b.Metadata["x"], b.Enqueued = "y", 99
		return refusal
	})
	if err != refusal { //nolint:errorlint // it is returned as it is
		t.Fatalf("error is %v, want the change's own", err)
	}
	got, err := s.Batch(t.Context(), b.Ref)
	ok(t, err)
	same(t, "batch", got, b)
}

func updateNothing(t *testing.T, s Store) {
	b := created(t, s, newBatch(unique("t-")))
	for _, change := range []func(*batch.Batch) error{
		func(*batch.Batch) error { return nil },
		func(b *batch.Batch) error { return b.Park("") },
		func(b *batch.Batch) error { b.CreatedAt = b.CreatedAt.Add(time.Nanosecond); return nil },
	} {
		got, err := s.UpdateBatch(t.Context(), b.Ref, change)
		ok(t, err)
		same(t, "batch", got, b)
	}
}

func updateIdentity(t *testing.T, s Store) {
	b := created(t, s, newBatch(unique("t-")))
	got, err := s.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
		b.ID, b.Tenant, b.Rev = "other", "other", 77
		return b.Enqueue(0)
	})
	var status *batch.StatusError
	if !errors.As(err, &status) {
		t.Fatalf("%+v, error %v, want a *batch.StatusError", got, err)
	}
	got, err = s.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
		b.ID, b.Tenant, b.Rev, b.Token = "other", "other", 77, "t"
		return nil
	})
	ok(t, err)
	b.Rev, b.Token = 2, "t"
	same(t, "batch", got, b)
}

func updateAliases(t *testing.T, s Store) {
	b := newBatch(unique("t-"))
	b.WriteOut.Output.Parts = make([]string, 1, 10)
	ok(t, s.CreateBatch(t.Context(), b))
	var kept *batch.Batch
	got, err := s.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
		kept, b.Enqueued = b, 1
		b.Errors = append(b.Errors, batch.LineError{Code: "a"})
		return nil
	})
	ok(t, err)
	want, err := s.Batch(t.Context(), b.Ref)
	ok(t, err)
	same(t, "batch", got, want)
	for _, mine := range []*batch.Batch{&b, kept, &got} {
		mine.Metadata["x"] = "y"
		mine.WriteOut.Output.Parts[0] = "x"
		if len(mine.Errors) > 0 {
			mine.Errors[0].Code = "b"
		}
		mine.Policy.Retryable[0].From = 1
	}
	got, err = s.Batch(t.Context(), b.Ref)
	ok(t, err)
	same(t, "batch", got, want)
}

func updateRace(t *testing.T, s Store) {
	const each = 4
	b := created(t, s, newBatch(unique("t-")))
	errs := atOnce(8, func(int) error {
		for n := 0; n < each; {
			_, err := s.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
				b.Enqueued++
				b.WriteOut.Output.Parts = append(b.WriteOut.Output.Parts, "x")
				return nil
			})
			switch {
			case err == nil:
				n++
			case !errors.Is(err, batch.ErrBusy):
				return err
			}
		}
		return nil
	})
	ok(t, errors.Join(errs...))
	got, err := s.Batch(t.Context(), b.Ref)
	ok(t, err)
	same(t, "updates", got.Enqueued, 8*each)
	same(t, "parts", len(got.WriteOut.Output.Parts), 8*each)
	same(t, "revision", got.Rev, int64(1+8*each))
}
