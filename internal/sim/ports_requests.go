package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// walkPage is how many requests a walk reads at a time.
const walkPage = 25

// ports are what a process reaches the services through: each port of each use
// case, every call of it a turn.
type ports struct{ *process }

func (p ports) line(k state.Key) string { return p.world.nick(k.Batch) + "/" + strconv.Itoa(k.Line) }

// Apply makes one conditional write.
func (p ports) Apply(ctx context.Context, c state.Change) error {
	o := operation{name: "Apply", key: p.names([]state.Change{c})[0], writes: true}
	return p.call(ctx, o, func(ctx context.Context) error { return p.apply(ctx, c) })
}

// apply has c's effect.
func (p ports) apply(ctx context.Context, c state.Change) error {
	w := p.world
	before, _ := w.store.Request(ctx, c.Spec().Key) // absent: the zero record
	err := w.store.Apply(ctx, c)
	after, _ := w.store.Request(ctx, c.Spec().Key)
	w.check.applied(p.process, c, before, after, err)
	return err
}

// ApplyAll makes a group of conditional writes. Beside all that may become of a
// write, one of it may be throttled alone, and it may be made in part: the process
// dies, or its connection does.
func (p ports) ApplyAll(ctx context.Context, cs []state.Change) []error {
	w := p.world
	o := operation{name: "ApplyAll", key: strings.Join(p.names(cs), ", "), writes: true}
	d := roll(w.seed, p.name, o.key, p.instant())
	torn := d.chance(w.plan.rates[crashBefore] + w.plan.rates[crashAfter])
	dies := d.chance(0.5) || w.plan.deadly
	var errs []error // of those who hear of it
	err := p.call(ctx, o, func(ctx context.Context) error {
		made := make([]error, len(cs))
		for i, c := range cs {
			if torn && i > 0 && 2*i >= len(cs) && !w.calm() {
				w.hit(groupTorn)
				p.hurts()
				return errTorn
			}
			made[i] = p.applyOne(ctx, d, c)
		}
		errs = made
		return nil
	})
	if errors.Is(err, errTorn) && dies {
		p.die()
	}
	if err != nil {
		return slices.Repeat([]error{err}, len(cs))
	}
	return errs
}

// applyOne has the effect of a change of a group, unless that is throttled.
func (p ports) applyOne(ctx context.Context, d *dice, c state.Change) error {
	if w := p.world; d.chance(w.plan.rates[throttled]) && !w.calm() {
		w.hit(statementThrottled)
		p.hurts()
		return errThrottled
	}
	return p.apply(ctx, c)
}

// names tells what changes are: without claims' ids, since those made at one
// instant have no order.
func (p ports) names(cs []state.Change) []string {
	names := make([]string, len(cs))
	for i, c := range cs {
		guard := c.Guard()
		names[i] = fmt.Sprintf("%s %s %t to %s", p.line(c.Spec().Key), guard.Status, guard.ClaimID != "", c.To().Status())
	}
	return names
}

// Create inserts requests.
func (p ports) Create(ctx context.Context, cs []state.Change) error {
	w := p.world
	if len(cs) == 0 {
		return nil
	}
	o := operation{name: "Create", key: fmt.Sprintf("%s+%d", p.line(cs[0].Spec().Key), len(cs)), writes: true}
	return p.call(ctx, o, func(ctx context.Context) error {
		err := w.store.Create(ctx, w.spared(cs))
		for _, c := range cs {
			stored, _ := w.store.Request(ctx, c.Spec().Key) // absent: the zero record
			w.check.created(c, stored)
		}
		return err
	})
}

// spared returns cs without those whose items are to be missing.
func (w *world) spared(cs []state.Change) []state.Change {
	return slices.DeleteFunc(slices.Clone(cs), func(c state.Change) bool {
		j := w.job(w.nick(c.Spec().Key.Batch))

		gone := j != nil && j.missing == c.Spec().Key.Line
		if gone {
			w.hit(itemMissing)
		}
		return gone
	})
}

// Request reads a request.
func (p ports) Request(ctx context.Context, k state.Key) (rec state.Record, err error) {
	err = p.call(ctx, operation{name: "Request", key: p.line(k)}, func(ctx context.Context) error {
		var err error
		rec, err = p.world.store.Request(ctx, k)
		return err
	})
	return rec, err
}

// Requests walks a batch's requests, some of them each turn.
func (p ports) Requests(ctx context.Context, batchID string, shards, after int) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		for {
			page, err := p.page(ctx, batchID, shards, after)
			if err != nil {
				yield(state.Record{}, err)
				return
			}
			for _, rec := range page {
				if !yield(rec, nil) {
					return
				}
				after = rec.Spec.Key.Line
			}
			if len(page) < walkPage {
				return
			}
		}
	}
}

func (p ports) page(ctx context.Context, batchID string, shards, after int) ([]state.Record, error) {
	var page []state.Record
	o := operation{name: "Requests", key: fmt.Sprintf("%s>%d", p.world.nick(batchID), after)}
	err := p.call(ctx, o, func(ctx context.Context) error {
		page = nil
		for rec, err := range p.world.store.Requests(ctx, batchID, shards, after) {
			if err != nil {
				return err
			}
			if page = append(page, rec); len(page) == walkPage {
				break
			}
		}
		return nil
	})
	return page, err
}

// Beat records a heartbeat.
func (p ports) Beat(ctx context.Context, b state.Worker) error {
	o := operation{name: "Beat", key: strconv.FormatBool(b.Ended), writes: true}

	err := p.call(ctx, o, func(ctx context.Context) error {
		p.beats(true)
		p.world.check.beat(b)
		return p.world.store.Beat(ctx, b)
	})
	if err == nil {
		p.world.check.acknowledged(p.process, b)
	} else {
		p.beats(false)
	}
	return err
}

// Worker reads a heartbeat.
func (p ports) Worker(ctx context.Context, id string) (found state.Worker, err error) {
	err = p.call(ctx, operation{name: "Worker", key: id}, func(ctx context.Context) error {
		var err error
		found, err = p.world.store.Worker(ctx, id)
		return err
	})
	return found, err
}

// PutCounter writes a counter shard.
func (p ports) PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error {
	o := operation{name: "PutCounter", key: p.world.nick(batchID), writes: true}
	return p.call(ctx, o, func(ctx context.Context) error { return p.world.store.PutCounter(ctx, batchID, c) })
}

// Progress adds up a batch's counter shards.
func (p ports) Progress(ctx context.Context, batchID string) (sum batch.Counts, err error) {
	err = p.call(ctx, operation{name: "Progress", key: p.world.nick(batchID)}, func(ctx context.Context) error {
		var err error
		sum, err = p.world.store.Progress(ctx, batchID)
		return err
	})
	return sum, err
}

// Counters lists a batch's counter shards.
func (p ports) Counters(ctx context.Context, batchID string) (counters []batch.CounterShard, err error) {
	err = p.call(ctx, operation{name: "Counters", key: p.world.nick(batchID)}, func(ctx context.Context) error {
		var err error
		counters, err = p.world.store.Counters(ctx, batchID)
		return err
	})
	return counters, err
}

// AppendJournal adds an entry to a batch's journal.
func (p ports) AppendJournal(ctx context.Context, batchID string, e batch.Entry) (n int, err error) {
	o := operation{name: "AppendJournal", key: p.world.nick(batchID) + " " + e.Segment, writes: true}
	err = p.call(ctx, o, func(ctx context.Context) error {
		added, err := p.world.store.AppendJournal(ctx, batchID, e)
		if ctx.Err() == nil {
			n = added
		}
		return err
	})
	return n, err
}

// Journal reads a batch's journal.
func (p ports) Journal(ctx context.Context, batchID string, after, limit int) (page []batch.Entry, err error) {
	o := operation{name: "Journal", key: fmt.Sprintf("%s>%d", p.world.nick(batchID), after)}
	err = p.call(ctx, o, func(ctx context.Context) error {
		var err error
		page, err = p.world.store.Journal(ctx, batchID, after, limit)
		return err
	})
	return page, err
}
