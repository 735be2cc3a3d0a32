package doctor

import (
	"context"
	"errors"
	"fmt"
)

// table looks whether the table can be read.
func (d *Doctor) table(ctx context.Context) []Finding {
	models, err := d.Store.Models(ctx)
	switch {
	case errors.Is(err, ErrDenied):
		return []Finding{unknown("the table", err)}
	case err != nil:
		return []Finding{bad("", "is it the right account and region, and was the table deleted? Then deploy again", "the table cannot be read: %v", err)}
	}
	return []Finding{good("", "the table can be read; it names %d models", len(models))}
}

// bucket looks whether the bucket can be reached.
func (d *Doctor) bucket(ctx context.Context) []Finding {
	switch err := d.Stack.Bucket(ctx); {
	case errors.Is(err, ErrDenied):
		return []Finding{unknown("the bucket", err)}
	case err != nil:
		return []Finding{bad("", "was the bucket deleted, or does a policy of yours close it? Files lie nowhere else", "the bucket cannot be reached: %v", err)}
	}
	return []Finding{good("", "the bucket can be reached")}
}

// functions looks for functions that do not run.
func (d *Doctor) functions(ctx context.Context) []Finding {
	functions, err := d.Stack.Functions(ctx)
	if err != nil {
		return []Finding{unknown("the functions", err)}
	}
	var found []Finding
	for _, f := range functions {
		switch {
		case f.Reserved == 0:
			found = append(found, bad(f.Name, "deploy again, or remove it: aws lambda delete-function-concurrency --function-name "+f.Name,
				"none of its invocations may run: its reserved concurrency is 0"))
		case f.State == "Failed" || f.Update == "Failed":
			found = append(found, bad(f.Name, "deploy again; aws lambda get-function --function-name "+f.Name+" says why",
				"it cannot run: its state is %s, its last update %s", f.State, f.Update))
		case f.State != "Active" && f.State != "Inactive": // idle for weeks: the next call wakes it
			found = append(found, warn(f.Name, "wait for a minute", "its state is %s", f.State))
		}
	}
	if len(functions) == 0 {
		return []Finding{bad("", "deploy again", "the stack has no functions")}
	}
	if len(found) == 0 {
		return []Finding{good("", "%d functions can be invoked", len(functions))}
	}
	return found
}

// source looks whether messages come to execute.
func (d *Doctor) source(ctx context.Context) []Finding {
	sources, err := d.Stack.Sources(ctx)
	if err != nil {
		return []Finding{unknown("the queue's event source mapping", err)}
	}
	if len(sources) == 0 {
		return []Finding{bad("", "deploy again", "the queue has no event source mapping: no request is ever called")}
	}
	var found []Finding
	for _, s := range sources {
		switch s.State {
		case "Enabled":
			found = append(found, good(s.ID, "messages come to execute, in %s invocations at once", bound(s.Invocations)))
		case "Creating", "Enabling", "Updating":
			found = append(found, warn(s.ID, "wait for a minute", "the event source mapping is %s", s.State))
		default:
			found = append(found, bad(s.ID, "enable it: aws lambda update-event-source-mapping --enabled --uuid "+s.ID,
				"the event source mapping is %s: no request is called", s.State))
		}
	}
	return found
}

func bound(invocations int) string {
	if invocations == 0 {
		return "any number of"
	}
	return fmt.Sprint(invocations)
}
