// Package concurrency fits a deployment into the invocations that an account's functions may have at once, so that workers
// leave some to the API and the flows. It knows Lambda's limits, and nothing of what is deployed.
package concurrency

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

const (
	// Usual is how many invocations of execute a deployment has that chooses nothing.
	Usual = 10
	// Fewest is the least that an event source takes:
	// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
	Fewest = 2
	// leastLeft is the least that AWS leaves unreserved, and with less a deployment fails:
	// https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
	leastLeft = 100
	// A fifth is left to other functions than execute, and keep at least.
	fifth, keep = 5, 5
)

var (
	// ErrTooFew reports an account whose functions have too few invocations for execute, the API and the flows.
	ErrTooFew = errors.New("too little concurrency")
	// ErrReserved reports a reservation that leaves the account's other functions less than AWS demands.
	ErrReserved = errors.New("too much concurrency reserved")
)

// A Limits is what an account grants its functions in a region together.
type Limits struct {
	Total      int // Invocations at once.
	Unreserved int // Those that no function has reserved.
}

// An API is what Read uses of Lambda.
type API interface {
	GetAccountSettings(context.Context, *lambda.GetAccountSettingsInput, ...func(*lambda.Options)) (*lambda.GetAccountSettingsOutput, error)
	GetFunctionConcurrency(
		context.Context, *lambda.GetFunctionConcurrencyInput, ...func(*lambda.Options),
	) (*lambda.GetFunctionConcurrencyOutput, error)
}

var _ API = (*lambda.Client)(nil)

// Read returns an account's limits as they would be if the functions named had nothing reserved: a deployment decides on that
// anew.
func Read(ctx context.Context, api API, functions []string) (Limits, error) {
	settings, err := api.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		return Limits{}, fmt.Errorf("read the account's concurrency (lambda:GetAccountSettings): %w", err)
	}
	limit := settings.AccountLimit
	if limit == nil || limit.ConcurrentExecutions < 1 {
		return Limits{}, errors.New("read the account's concurrency (lambda:GetAccountSettings): it tells none")
	}
	limits := Limits{Total: int(limit.ConcurrentExecutions), Unreserved: int(aws.ToInt32(limit.UnreservedConcurrentExecutions))}
	for _, name := range functions {
		own, err := api.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})
		if err != nil {
			return Limits{}, fmt.Errorf("read what is reserved (lambda:GetFunctionConcurrency): %w", err)
		}
		limits.Unreserved += int(aws.ToInt32(own.ReservedConcurrentExecutions))
	}
	return limits, nil
}

// Fit returns how many of the invocations of execute that were asked for there may be beside so many reserved ones of others:
// what is then left to the other functions is a fifth, and 5 at least. It returns ErrReserved where AWS would refuse the
// reservation, and ErrTooFew where nothing is left for execute.
func (l Limits) Fit(asked, reserved int) (int, error) {
	if reserved > 0 && l.Unreserved-reserved < leastLeft {
		return 0, fmt.Errorf("%w: of the account's %d invocations at once %d are unreserved; with submitConcurrency=%d fewer than %d would be left, "+
			"which AWS refuses: take %d at most, leave submitConcurrency out, or have the quota raised (Service Quotas, Lambda, Concurrent executions)",
			ErrReserved, l.Total, l.Unreserved, reserved, leastLeft, max(l.Unreserved-leastLeft, 0))
	}
	free := l.Unreserved - reserved
	most := free - max((free+fifth-1)/fifth, keep)
	if most < Fewest {
		return 0, fmt.Errorf("%w: of the account's %d invocations at once %d are unreserved; %d must be there, %d of them for execute: "+
			"have the quota raised (Service Quotas, Lambda, Concurrent executions)", ErrTooFew, l.Total, l.Unreserved, keep+Fewest, Fewest)
	}
	return min(asked, most), nil
}
