package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// overdue is how long after its deadline a batch should have ended.
	overdue = 10 * time.Minute
	// young is the age below which a batch may have no flow yet.
	young = 2 * time.Minute
	// page, and the bounds of what is looked at: entries, flows whose state is
	// asked for, and batches that are told of.
	page, mostEntries, mostStates, mostStuck = 500, 10_000, 25, 10
)

// batches looks for batches that are past their deadline, or whose flow does
// not run.
func (d *Doctor) batches(ctx context.Context) []Finding {
	running, err := d.Flows.Running(ctx)
	if err != nil {
		return []Finding{unknown("the flows", err)}
	}
	var found []Finding
	seen, asked := 0, 0
	for after, more := "", true; more && seen < mostEntries && len(found) < mostStuck; {
		var entries []batch.Running
		if entries, more, err = d.Store.Runnings(ctx, after, page); err != nil {
			return append(found, unknown("the batches that run", err))
		}
		for _, r := range entries {
			after = r.ID
			seen++
			f, looked := d.stuck(ctx, r, running, asked < mostStates)
			if looked {
				asked++
			}
			if f.Status != OK && len(found) < mostStuck {
				found = append(found, f)
			}
		}
	}
	if len(found) == 0 {
		return []Finding{good("", "%d batches run, none is stuck", seen)}
	}
	return found
}

// stuck tells how a batch stands, and whether its flow's state was asked for,
// which is done only if it may.
func (d *Doctor) stuck(ctx context.Context, r batch.Running, running map[string]bool, may bool) (Finding, bool) {
	now := d.Clock()
	if late := now.Sub(r.Deadline); late > overdue {
		return bad(r.ID, "its flow's history says what it waits for: look at the execution "+batch.FlowName(r.ID, r.Flow)+
			" in the Step Functions console; stopped there, it is followed by the next one", "its deadline passed %s ago, and it has not ended", late.Round(time.Second)), false
	}
	made, _ := batch.ParseID(batch.PrefixBatch, r.ID)
	if running[batch.FlowName(r.ID, r.Flow)] || now.Sub(made) < young || !may {
		return good(r.ID, ""), false
	}
	state, err := d.Flows.State(ctx, r.ID, r.Flow)
	switch {
	case err != nil:
		return unknown(fmt.Sprintf("the flow of %s", r.ID), err), true
	case state != batch.FlowRunning:
		return bad(r.ID, "the sweep starts the next one every 15 minutes: if this stays, look at the rule that calls it, and at finalize's log",
			"it has no running flow: flow %d is %s", r.Flow, state), true
	}
	return good(r.ID, ""), true
}
