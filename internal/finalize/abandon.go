package finalize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/musketry/musketry/internal/batch"
)

// maxCause is the most bytes of a flow's error that are logged. Our errors have
// no bodies and no secrets in them.
const maxCause = 1_000

// Abandon ends a batch as failed because its flow could not go on, with a
// reason that its owner can act on. cause is the flow's error as JSON.
//
// What was done is not lost. A batch whose requests are stored is given up:
// its unfinished requests are terminated (or expired, or canceled, if that is
// due anyway), and it is sealed and written out as ever. Only if that fails for
// longer than Patience it ends without its result files; the answers remain in
// its segments. A batch that was not loaded has called nobody, and ends at
// once. It returns ErrUnfinished, or what kept it from the end, if it has to be
// called again. An ended batch, or one that is not there, is no error.
func (f *Finalizer) Abandon(ctx context.Context, ref batch.Ref, cause string) error {
	t := f.turn()
	trouble := trouble(cause)
	t.Log.ErrorContext(ctx, "the flow gave up", slog.String("batch", ref.ID), slog.String("cause", cause[:min(len(cause), maxCause)]))
	b, err := t.update(ctx, ref, func(b *batch.Batch) error {
		if b.Ready() || b.Sealed {
			return b.Fail(batch.FailFlow, batch.InternalError(fmt.Sprintf("%s kept this batch from going on. What was done is "+
				"in its output and error files. Send the requests that have the code '%s' again.", trouble, batch.CodeTerminated)), t.Clock())
		}
		return b.Fail(batch.FailNow, batch.InternalError(fmt.Sprintf("%s kept the input file from being loaded. "+
			"No request was sent. Create the batch again.", trouble)), t.Clock())
	})
	if err == nil {
		err = t.salvage(ctx, b, trouble)
	}
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("finalize: abandon %s: %w", ref.ID, err)
	}
	return nil
}

// salvage brings b, which was given up, to its end.
func (t *turn) salvage(ctx context.Context, b batch.Batch, trouble string) error {
	next, err := t.advance(ctx, b.Ref)
	switch {
	case err == nil && next == NextEnd:
		return nil
	case err == nil:
		return ErrUnfinished
	case ctx.Err() != nil || b.Status.Terminal() || t.Clock().Sub(b.FailingSince) < t.Config.Patience:
		return err
	}
	t.Log.ErrorContext(ctx, "results cannot be written out", slog.String("batch", b.ID), slog.String("error", err.Error()))
	b, err = t.update(ctx, b.Ref, func(b *batch.Batch) error {
		return b.Fail(batch.FailNow, batch.InternalError(fmt.Sprintf("%s kept this batch from going on, and another one "+
			"its results from being written out. Ask whoever runs this service: the answers are stored.", trouble)), t.Clock())
	})
	if err != nil {
		return err
	}
	return t.cleanUp(ctx, b)
}

// trouble says what a flow's error is to the batch's owner: no more than its
// name, and only if it is Step Functions' or Lambda's own, such as
// States.Timeout. The names of our own errors would tell nobody anything.
func trouble(cause string) string {
	var e struct {
		Error string `json:"Error"` //nolint:tagliatelle // Step Functions' own spelling
	}
	if json.Unmarshal([]byte(cause), &e) != nil || !regexp.MustCompile(`^(States|Lambda)\.\w{1,80}$`).MatchString(e.Error) {
		return "An internal error"
	}
	return fmt.Sprintf("An internal error (%s)", e.Error)
}
