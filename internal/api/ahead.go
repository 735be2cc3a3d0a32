package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// longestAgain bounds after how many seconds a client is told to try again.
const longestAgain = 3600

// accept has a batch made of an order. A tenant that has too much unfinished is told what is known of when that changes.
func (a *api) accept(ctx context.Context, o batch.Order) (batch.Batch, error) {
	b, err := a.Acceptor.Accept(ctx, o)
	limit, met := errors.AsType[*tenant.LimitError](err)
	if !met || limit.Of != tenant.LimitBatches && limit.Of != tenant.LimitRequests {
		return b, err
	}
	told := limitReached(limit)
	a.tellAhead(ctx, o.Tenant, told)
	return batch.Batch{}, told
}

// tellAhead adds to a refusal which of the tenant's unfinished batches is due first, how far it is and when it ends at the
// latest; and asks to come again when it will end if it goes on as it has begun. What cannot be read is not told.
func (a *api) tellAhead(ctx context.Context, tenantName string, told *refusalError) {
	newest, _, err := a.Batches.Batches(ctx, tenantName, "", mostBatches)
	if err != nil {
		return
	}
	var first batch.Batch
	for _, b := range newest {
		if !b.Status.Terminal() && (first.ID == "" || b.Deadline.Before(first.Deadline)) {
			first = b
		}
	}
	if first.ID == "" {
		return
	}
	now := a.Clock()
	left := first.Deadline.Sub(now)
	progress := ""
	if counts, err := a.counts(ctx, first); err == nil && counts.Total > 0 {
		progress = fmt.Sprintf(" has %d of %d requests done, and", counts.Done(), counts.Total)
		if done := counts.Done(); done > 0 {
			rest := time.Duration(float64(now.Sub(first.InProgressAt)) / float64(done) * float64(counts.Total-done))
			told.again = seconds(min(rest, left))
		}
	}
	told.again = min(told.again, seconds(left))
	told.message += fmt.Sprintf(" Batch '%s', which is due first,%s ends by %s at the latest.",
		first.ID, progress, first.Deadline.UTC().Format(time.RFC3339))
}

// seconds returns d in whole seconds, at least 1 and at most longestAgain.
func seconds(d time.Duration) int {
	return int(min(max((d+time.Second-1)/time.Second, 1), longestAgain))
}
