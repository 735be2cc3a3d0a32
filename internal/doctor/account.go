package doctor

import (
	"context"
	"fmt"
)

const (
	// leastLeft is how many invocations the API and the flows need at least beside
	// execute's, and one in spareShare of all is what they should have.
	leastLeft  = 5
	spareShare = 5
	// mostInFlight is how many messages a queue has in flight at most, beyond
	// which it hands out none
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html).
	mostInFlight = 120_000
	// manyInFlight is worth a warning: a deployment keeps to its allowance, which
	// is 100,000 at most.
	manyInFlight = 100_000
	// leastWrites is what a new table on demand takes in write units a second
	// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html).
	leastWrites = 4_000
	// concurrencyQuota is what more invocations are asked for by.
	concurrencyQuota = "ask for more: aws service-quotas request-service-quota-increase --service-code lambda " +
		"--quota-code L-B99A9384 --desired-value 1000; until then deploy with fewer: CDK_CONTEXT=invocations=…"
)

// concurrency holds the account's invocations against what execute may take of
// them: what it takes, the API and the flows lack.
func (d *Doctor) concurrency(ctx context.Context) []Finding {
	account, err := d.Account.Concurrency(ctx)
	if err != nil {
		return []Finding{unknown("the account's concurrency", err)}
	}
	sources, err := d.Stack.Sources(ctx)
	if err != nil {
		return []Finding{unknown("how many invocations execute may take", err)}
	}
	takes := 0
	for _, s := range sources {
		if s.Invocations == 0 {
			return []Finding{warn(s.ID, "deploy again: it is set by invocations", "execute may take all %d invocations of the account", account.Unreserved)}
		}
		takes += s.Invocations
	}
	left := account.Unreserved - takes
	what := fmt.Sprintf("the account has %d invocations at once here, of which %d are unreserved, and execute may take %d",
		account.Limit, account.Unreserved, takes)
	switch {
	case left < leastLeft:
		return []Finding{bad("", concurrencyQuota, "%s: the API and the flows starve while it does", what)}
	case left < account.Limit/spareShare:
		return []Finding{warn("", concurrencyQuota, "%s: that leaves the API and the flows less than a fifth", what)}
	}
	return []Finding{good("", "%s", what)}
}

// quotas tells the quotas that bound a deployment, as far as AWS tells them.
func (d *Doctor) quotas(ctx context.Context) []Finding {
	q, err := d.Account.Quotas(ctx)
	if err != nil {
		return []Finding{unknown("what the table may take", err)}
	}
	what := fmt.Sprintf("the table may take %d write units and %d read units a second; what API Gateway and Step Functions may take "+
		"is told by the console of Service Quotas alone", q.TableWrites, q.TableReads)
	if q.TableWrites < leastWrites {
		return []Finding{warn("", "ask for more in the console of Service Quotas, under Amazon DynamoDB", "%s: loads of large batches are throttled", what)}
	}
	return []Finding{good("", "%s", what)}
}

// queue holds the messages in flight against the most that SQS has.
func (d *Doctor) queue(ctx context.Context) []Finding {
	depths, err := d.Stack.Queue(ctx)
	if err != nil {
		return []Finding{unknown("the queue", err)}
	}
	what := fmt.Sprintf("%d messages are in flight or hidden, of at most %d, and %d wait", depths.InFlight, mostInFlight, depths.Visible)
	remedy := "lower allowance; many batches whose requests back off fill it: musketry status says why they wait"
	switch {
	case depths.InFlight >= mostInFlight:
		return []Finding{bad("", remedy, "%s: the queue hands out none", what)}
	case depths.InFlight >= manyInFlight:
		return []Finding{warn("", remedy, "%s", what)}
	}
	return []Finding{good("", "%s", what)}
}

// deadLetters looks for messages that the queue gave up.
func (d *Doctor) deadLetters(ctx context.Context) []Finding {
	depths, err := d.Stack.DeadLetters(ctx)
	if err != nil {
		return []Finding{unknown("the dead-letter queue", err)}
	}
	if n := depths.Visible + depths.InFlight; n > 0 {
		return []Finding{bad("", "the sweep sends them again every 15 minutes, and its log says what became of their requests; "+
			"what stays names no request: look at it in the SQS console, and delete it", "%d messages are dead letters", n)}
	}
	return []Finding{good("", "there are no dead letters")}
}
