package concurrency_test

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/musketry/musketry/tools/concurrency"
)

func TestFit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		total, unreserved, asked, reserved int
		want                               int
		err                                error
	}{
		"an account of 1,000":              {1000, 1000, 10, 0, 10, nil},
		"all of it":                        {1000, 1000, 1000, 0, 800, nil},
		"a fifth, rounded up":              {101, 101, 1000, 0, 80, nil},
		"a new account":                    {10, 10, 10, 0, 5, nil},
		"a new account, and few asked for": {10, 10, 2, 0, 2, nil},
		"others have reserved most":        {1000, 104, 200, 0, 83, nil},
		"seven":                            {7, 7, 10, 0, 2, nil},
		"six":                              {6, 6, 10, 0, 0, concurrency.ErrTooFew},
		"a reservation":                    {1000, 1000, 1000, 100, 720, nil},
		"a reservation that leaves 100":    {200, 200, 100, 100, 80, nil},
		"a reservation that leaves 99":     {200, 199, 100, 100, 0, concurrency.ErrReserved},
		"a new account's reservation":      {10, 10, 5, 1, 0, concurrency.ErrReserved},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := concurrency.Limits{Total: tt.total, Unreserved: tt.unreserved}.Fit(tt.asked, tt.reserved)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %v, want %d, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// An account is one of Lambda's.
type account struct {
	total, unreserved int32
	reserved          map[string]int32
}

func (a account) GetAccountSettings(
	context.Context, *lambda.GetAccountSettingsInput, ...func(*lambda.Options),
) (*lambda.GetAccountSettingsOutput, error) {
	return &lambda.GetAccountSettingsOutput{AccountLimit: &types.AccountLimit{
		ConcurrentExecutions: a.total, UnreservedConcurrentExecutions: &a.unreserved,
	}}, nil
}

func (a account) GetFunctionConcurrency(
	_ context.Context, in *lambda.GetFunctionConcurrencyInput, _ ...func(*lambda.Options),
) (*lambda.GetFunctionConcurrencyOutput, error) {
	n, ok := a.reserved[*in.FunctionName]
	if !ok {
		return &lambda.GetFunctionConcurrencyOutput{}, nil
	}
	return &lambda.GetFunctionConcurrencyOutput{ReservedConcurrentExecutions: aws.Int32(n)}, nil
}

// What a deployment has reserved itself is free for its next one.
func TestReadGivesBackWhatIsOnesOwn(t *testing.T) {
	t.Parallel()
	a := account{total: 1000, unreserved: 850, reserved: map[string]int32{"submit": 100, "others": 50}}
	got, err := concurrency.Read(t.Context(), a, []string{"submit", "execute"})
	if want := (concurrency.Limits{Total: 1000, Unreserved: 950}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := concurrency.Read(t.Context(), account{}, nil); err == nil {
		t.Error("an account that tells nothing is taken for one with a limit")
	}
}
