package sim

import (
	"context"
	"errors"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// call makes one call of a service for p: it waits for its turn, meets its fate
// and has its effect. do must need nothing but the services' own memory, since
// it may be called late, and when p is dead.
func (p *process) call(ctx context.Context, o operation, do func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil && !p.gone() { // nothing is sent; a tick may come with the end of its loop
		return err
	}
	o.by, o.worker = p.name, p.worker
	what := p.name + " " + o.name + " " + o.key
	f := p.world.fate(what, o)
	over := p.world.check.operates(p, o)
	err := p.meet(ctx, what, f, do)
	over(f.kind != "" && f.kind != slowService || ctx.Err() != nil)
	return err
}

// meet lets a call meet its fate.
func (p *process) meet(ctx context.Context, what string, f fate, do func(ctx context.Context) error) error {
	w := p.world
	if f.kind == frozen && !f.after {
		p.freezes(what)
	}
	if f.kind == connectionDead {
		w.hit(connectionDead)
	}
	detached := context.WithoutCancel(ctx)
	err := w.sched.await(ctx, p, what, f.delay)
	w.sched.passed(what)
	if err != nil {
		if f.kind == writeLate && f.late > 0 {
			w.sched.after(what+" late", f.late, func() {
				w.hit(writeLate)
				w.sched.note(what+" late", told(do(detached)))
			})
		}
		return err
	}
	if f.kind == crashBefore {
		w.hit(f.kind)
		w.sched.note(what, "dies before")
		p.die()
	}
	if f.kind == throttled || f.kind == serviceDown {
		w.hit(f.kind)
		w.sched.note(what, string(f.kind))
		return errThrottled
	}
	if f.kind == connectionDead {
		return errReset
	}
	err = do(detached)
	w.sched.note(what, told(err)+string(f.kind))
	return p.answer(ctx, what, f, err)
}

// answer lets p know how its call ended, or not.
func (p *process) answer(ctx context.Context, what string, f fate, err error) error {
	w := p.world
	switch f.kind {
	case crashAfter:
		w.hit(f.kind)
		p.die()
	case answerLost:
		w.hit(f.kind)
		if f.err != nil {
			return f.err
		}
		if err := w.sched.await(ctx, p, what+" silence", time.Minute); err != nil {
			return err
		}
		return errReset
	case frozen:
		if !f.after {
			break
		}
		p.freezes(what)
		if err := w.sched.await(ctx, p, what+" is answered", time.Millisecond); err != nil {
			return err
		}
	case slowService:
		w.hit(f.kind)
	default:
	}
	return err
}

// freezes freezes p for a while.
func (p *process) freezes(what string) {
	w := p.world
	w.hit(frozen)
	w.sched.freeze(p, roll(w.seed, what, "frozen").between(time.Second, w.plan.freeze))
}

// told says in a word how an effect ended, for the log.
func told(err error) string {
	var conflict *state.ConflictError
	switch {
	case err == nil:
		return "ok "
	case errors.As(err, &conflict):
		return "conflict "
	case errors.Is(err, batch.ErrNotFound), errors.Is(err, state.ErrNotFound), errors.Is(err, batch.ErrNoObject):
		return "none "
	case errors.Is(err, batch.ErrExists):
		return "exists "
	}
	return "error "
}
