package dynamostore_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/route"
)

// TestAModelThatCannotBeReadIsThere, without its routes: an item that was written by hand takes no other down.
func TestAModelThatCannotBeReadIsThere(t *testing.T) {
	t.Parallel()
	m := route.Model{Pattern: "gpt-4o#*", Revision: 7, Routes: []route.Route{{
		Name: "main", BaseURL: "https://api.example.com/v1", Auth: route.Auth{Kind: route.None},
	}}}
	it, err := dynamostore.EncodeModel(m)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, dynamostore.DecodeModel(it)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := route.Model{Pattern: "gpt-4o#*", Revision: 7}
	for name, body := range map[string]types.AttributeValue{
		"no body":          nil,
		"no text":          &types.AttributeValueMemberN{Value: "1"},
		"no JSON":          &types.AttributeValueMemberS{Value: "{"},
		"an unknown field": &types.AttributeValueMemberS{Value: `{"pattern":"gpt-4o#*","more":1}`},
		"another pattern":  &types.AttributeValueMemberS{Value: `{"pattern":"*","routes":[]}`},
	} {
		if it["body"] = body; body == nil {
			delete(it, "body")
		}
		if diff := cmp.Diff(want, dynamostore.DecodeModel(it)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
