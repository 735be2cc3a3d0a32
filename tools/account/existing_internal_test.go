package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"

	"github.com/musketry/musketry/infra/outputs"
)

// A formation is a stack whose outputs name a table, a table of keys and a bucket, and which owns some of them.
type formation struct {
	owns []string
	err  error
}

func (f formation) DescribeStacks(
	context.Context, *cloudformation.DescribeStacksInput, ...func(*cloudformation.Options),
) (*cloudformation.DescribeStacksOutput, error) {
	var all []types.Output
	for _, o := range [][2]string{{outputs.Table, "requests"}, {outputs.AdminTable, "keys"}, {outputs.Bucket, "files"}, {outputs.APIID, "api"}} {
		all = append(all, types.Output{OutputKey: aws.String(o[0]), OutputValue: aws.String(o[1])})
	}
	return &cloudformation.DescribeStacksOutput{Stacks: []types.Stack{{Outputs: all}}}, f.err
}

func (f formation) ListStackResources(
	_ context.Context, in *cloudformation.ListStackResourcesInput, _ ...func(*cloudformation.Options),
) (*cloudformation.ListStackResourcesOutput, error) {
	if len(f.owns) == 0 {
		return &cloudformation.ListStackResourcesOutput{}, nil
	}
	i := 0 // a resource a page
	if in.NextToken != nil {
		i = slices.Index(f.owns, *in.NextToken)
	}
	out := &cloudformation.ListStackResourcesOutput{StackResourceSummaries: []types.StackResourceSummary{{PhysicalResourceId: &f.owns[i]}}}
	if i+1 < len(f.owns) {
		out.NextToken = &f.owns[i+1]
	}
	return out, nil
}

func TestWhatWasTakenOverStays(t *testing.T) {
	t.Parallel()
	taken := []string{"existingTable=requests", "existingAdminTable=keys", "existingBucket=files"}
	for name, c := range map[string]struct {
		formation
		contexts []string
		want     []string
		refused  string
	}{
		"its own":         {formation: formation{owns: []string{"a function", "requests", "keys", "files"}}},
		"another's":       {formation: formation{owns: []string{"a function", "a topic"}}, want: taken},
		"said":            {formation: formation{}, contexts: []string{"existingTable=other"}},
		"some of another": {formation: formation{owns: []string{"keys"}}, refused: "existingTable=requests, existingBucket=files"},
		"no stack": {formation: formation{err: &smithy.GenericAPIError{
			Code: "ValidationError", Message: "Stack with id Musketry does not exist",
		}}},
		"no permission": {formation: formation{err: errors.New("AccessDenied")}, refused: "cloudformation:DescribeStacks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := account{contexts: c.contexts}.takenOver(t.Context(), c.formation)
			if !slices.Equal(got, c.want) || (err == nil) != (c.refused == "") {
				t.Fatalf("it is deployed with %q, %v, want %q", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("the error is %q, want %q in it", err, c.refused)
			}
		})
	}
}
