package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// joinWait is how long a completion waits for another one of the same upload,
	// with some seconds to answer in before API Gateway gives up after 29
	// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html).
	joinWait = 24 * time.Second
	// joinPoll is the mean time between two looks at whether the other is done.
	joinPoll = 500 * time.Millisecond
	// joinBeat is how often a completion that joins parts says that it lives.
	joinBeat = batch.UploadLease / 4
	// letGoFor bounds saying that it does no more.
	letGoFor = 5 * time.Second
)

// assemble makes the file of u's parts, and returns it and whether it is there.
// One completion of an upload joins its parts; others wait for it, and one of them
// goes on where it died. What takes longer than a call of API Gateway is joined by
// a call that nobody waits for any more, since its function runs on: each repeat of
// the SDK waits for it, for joinWait at most, and then is told to come again by
// batch.ErrUploadJoining.
func (a *api) assemble(ctx context.Context, u batch.Upload, c completion) (batch.File, bool, error) {
	waiting, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	for {
		f, there, err := a.makeOrFind(ctx, u, c)
		if !errors.Is(err, batch.ErrUploadJoining) {
			return f, there, err
		}
		if u, err = a.awaitJoiner(waiting, u); err != nil {
			return batch.File{}, false, err
		}
		if f, there, err = a.completed(ctx, u); err != nil {
			return batch.File{}, false, err
		}
		if there {
			return f, true, u.Matches(c.order, c.sum)
		}
	}
}

// awaitJoiner returns u once no completion joins its parts. It returns
// batch.ErrUploadJoining if one does when ctx ends.
func (a *api) awaitJoiner(ctx context.Context, u batch.Upload) (batch.Upload, error) {
	for {
		select {
		case <-time.After(joinPoll/2 + rand.N(joinPoll)): //nolint:gosec // jitter
		case <-ctx.Done():
			return u, batch.ErrUploadJoining
		}
		now, err := a.Uploads.Upload(ctx, u.Tenant, u.ID)
		switch {
		case err != nil && ctx.Err() != nil:
			return u, batch.ErrUploadJoining
		case err != nil:
			return u, fmt.Errorf("api: wait for completion: %w", err)
		case !now.Joined(a.Clock()):
			return now, nil
		}
	}
}

// holding does join while it says again and again that the completion named by
// joins u's parts. It returns batch.ErrUploadJoining, once join's context was
// ended, if another took over because this one was not heard of for
// batch.UploadLease. After join's success others wait on until u is completed.
func (a *api) holding(ctx context.Context, u batch.Upload, by string, join func(context.Context) error) error {
	held, cancel := context.WithCancelCause(ctx)
	var beats sync.WaitGroup
	beats.Go(func() { a.keepHeld(held, cancel, u, by) })
	err := join(held)
	cancel(nil)
	beats.Wait()
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(held), batch.ErrUploadJoining):
		return batch.ErrUploadJoining
	}
	a.letGo(context.WithoutCancel(ctx), u, by)
	return err
}

func (a *api) keepHeld(ctx context.Context, cancel context.CancelCauseFunc, u batch.Upload, by string) {
	beat := time.NewTicker(joinBeat)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
		_, err := a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, func(u *batch.Upload) error { return u.Rejoin(by, a.Clock()) })
		if errors.Is(err, batch.ErrUploadJoining) {
			cancel(err)
			return
		}
	}
}

// letGo says that the completion named by joins u's parts no more. If that fails,
// others wait until its lease is over.
func (a *api) letGo(ctx context.Context, u batch.Upload, by string) {
	ctx, cancel := context.WithTimeout(ctx, letGoFor)
	defer cancel()
	_, err := a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, func(u *batch.Upload) error {
		u.LetGo(by)
		return nil
	})
	if err != nil {
		a.Logger.LogAttrs(ctx, slog.LevelWarn, "completion holds on", slog.String("upload", u.ID), slog.Any("error", err))
	}
}
