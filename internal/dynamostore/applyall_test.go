package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/state"
)

// scripted answers groups as a test says, and grants single writes.
type scripted struct {
	dynamostore.API

	group  answering
	groups []int    // statements of each call
	puts   []string // sort keys
}

func (s *scripted) BatchExecuteStatement(
	_ context.Context, in *dynamodb.BatchExecuteStatementInput, _ ...func(*dynamodb.Options),
) (*dynamodb.BatchExecuteStatementOutput, error) {
	s.groups = append(s.groups, len(in.Statements))
	return s.group(in)
}

func (s *scripted) PutItem(
	_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	sk, _ := in.Item["sk"].(*types.AttributeValueMemberS)
	s.puts = append(s.puts, strings.TrimLeft(sk.Value, "0"))
	return &dynamodb.PutItemOutput{}, nil
}

// An answering is what a call of a group brings.
type answering func(*dynamodb.BatchExecuteStatementInput) (*dynamodb.BatchExecuteStatementOutput, error)

// refusing answers each statement with the error of its code; none is success.
func refusing(codes ...types.BatchStatementErrorCodeEnum) answering {
	return func(in *dynamodb.BatchExecuteStatementInput) (*dynamodb.BatchExecuteStatementOutput, error) {
		out := &dynamodb.BatchExecuteStatementOutput{Responses: make([]types.BatchStatementResponse, len(in.Statements))}
		for i, code := range codes {
			if code != "" {
				out.Responses[i].Error = &types.BatchStatementError{Code: code}
			}
		}
		return out, nil
	}
}

func failing(err error) answering {
	return func(*dynamodb.BatchExecuteStatementInput) (*dynamodb.BatchExecuteStatementOutput, error) {
		return nil, err
	}
}

func silent(*dynamodb.BatchExecuteStatementInput) (*dynamodb.BatchExecuteStatementOutput, error) {
	return &dynamodb.BatchExecuteStatementOutput{}, nil
}

// TestApplyAllAnswersEach holds what a call of three brings, and what is written
// alone because of it.
func TestApplyAllAnswersEach(t *testing.T) {
	t.Parallel()
	lost := errors.New("the answer was lost")
	for name, tc := range map[string]struct {
		group answering
		want  []string // an error each: none, conflict, or unknown
		alone []string
	}{
		"all applied":      {refusing(), []string{"none", "none", "none"}, nil},
		"an answer lost":   {failing(lost), []string{"unknown", "unknown", "unknown"}, nil},
		"too few answers":  {silent, []string{"unknown", "unknown", "unknown"}, nil},
		"one conflicts":    {refusing("", types.BatchStatementErrorCodeEnumConditionalCheckFailed), []string{"none", "conflict", "none"}, nil},
		"one is throttled": {refusing(types.BatchStatementErrorCodeEnumThrottlingError), []string{"unknown", "none", "none"}, nil},
		"one is not known": {refusing("", "", types.BatchStatementErrorCodeEnumValidationError), []string{"none", "none", "none"}, []string{"3"}},
		"groups are not known": {
			failing(fmt.Errorf("call: %w", &smithy.GenericAPIError{Code: "UnknownOperationException"})),
			[]string{"none", "none", "none"},
			[]string{"1", "2", "3"},
		},
		"a whole call is throttled": {
			failing(&smithy.GenericAPIError{Code: "ThrottlingException"}), []string{"unknown", "unknown", "unknown"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &scripted{group: tc.group}
			s := must(dynamostore.New(api, dynamostore.Config{Table: "table", Now: noon, Parallel: 1}))
			var cs []state.Change
			for line := range 3 {
				spec := usualSpec()
				spec.Key.Line = line + 1
				cs = append(cs, must(state.Expire(state.New(spec).Stored(), noon()).Change()))
			}
			var got []string
			for _, err := range s.ApplyAll(t.Context(), cs) {
				switch {
				case err == nil:
					got = append(got, "none")
				case errors.Is(err, state.ErrConflict):
					got = append(got, "conflict")
				default:
					got = append(got, "unknown")
				}
			}
			slices.Sort(api.puts)
			if !slices.Equal(got, tc.want) || !slices.Equal(api.puts, tc.alone) || !slices.Equal(api.groups, []int{3}) {
				t.Errorf("errors %v, want %v; alone %v, want %v; calls of %v", got, tc.want, api.puts, tc.alone, api.groups)
			}
		})
	}
}

// TestApplyAllCreatesAlone has a change of what is not there among others.
func TestApplyAllCreatesAlone(t *testing.T) {
	t.Parallel()
	api := &scripted{group: refusing()}
	s := must(dynamostore.New(api, dynamostore.Config{Table: "table", Now: noon}))
	spec := usualSpec()
	spec.Key.Line = 1
	creation := must(state.New(spec).Change())
	spec.Key.Line = 2
	change := must(state.Expire(state.New(spec).Stored(), noon()).Change())
	errs := s.ApplyAll(t.Context(), []state.Change{creation, change, {}})
	if !errors.Is(errs[2], state.ErrNotTransitioned) || errors.Join(errs[:2]...) != nil {
		t.Errorf("errors are %v", errs)
	}
	if diff := cmp.Diff([]string{"1"}, api.puts); diff != "" || !slices.Equal(api.groups, []int{1}) {
		t.Errorf("calls of %v, alone (-want +got):\n%s", api.groups, diff)
	}
}
