package dynamostore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/tenant"
)

// tablesAsked is a database without items that notes whose table each call names.
type tablesAsked struct {
	dynamostore.API

	asked *[]string
}

func (a tablesAsked) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	*a.asked = append(*a.asked, "get "+*in.TableName)
	return &dynamodb.GetItemOutput{}, nil
}

func (a tablesAsked) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	*a.asked = append(*a.asked, "put "+*in.TableName)
	return &dynamodb.PutItemOutput{}, nil
}

func (a tablesAsked) DeleteItem(
	_ context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.DeleteItemOutput, error) {
	*a.asked = append(*a.asked, "delete "+*in.TableName)
	return &dynamodb.DeleteItemOutput{}, nil
}

func (a tablesAsked) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	*a.asked = append(*a.asked, "query "+*in.TableName)
	return &dynamodb.QueryOutput{}, nil
}

// TestKeysAndModelsLieInTheAdminTable demands that what only operators write is read and written in a table of its own, if one is
// named, and everything else in the other.
func TestKeysAndModelsLieInTheAdminTable(t *testing.T) {
	t.Parallel()
	for admin, want := range map[string]string{"operators": "operators", "": "everything"} {
		var asked []string
		s := must(dynamostore.New(tablesAsked{asked: &asked}, dynamostore.Config{Table: "everything", Admin: admin, Now: noon}))
		model := route.Model{Pattern: "m", Routes: []route.Route{{Name: "main", BaseURL: "https://example.com/v1", Auth: route.Auth{Kind: route.None}}}}
		_, _ = s.Key(t.Context(), "hash") // there is none
		_, keys := s.Keys(t.Context(), "")
		_, models := s.Models(t.Context())
		_, _, acts := s.Acts(t.Context(), noon(), 1)
		for _, err := range []error{
			s.PutKey(t.Context(), tenant.Key{Hash: "hash", Tenant: "acme"}), keys, models, acts, s.PutAct(t.Context(), tenant.Act{What: "keys create"}), s.PutModel(t.Context(), model), s.DeleteModel(t.Context(), "m", 1),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		if _, err := s.KeyUses(t.Context(), "acme"); err != nil {
			t.Error(err)
		}
		if err := s.NoteKeyUse(t.Context(), tenant.KeyUse{Tenant: "acme", Hash: "hash"}); err != nil {
			t.Error(err)
		}
		_, _ = s.Batch(t.Context(), batch.Ref{Tenant: "acme", ID: "batch_1"}) // there is none
		text := strings.ReplaceAll("get X,query X,query X,query X,put X,put X,put X,put X,delete X", "X", want) +
			",query everything,put everything,get everything"
		if diff := cmp.Diff(strings.Split(text, ","), asked); diff != "" {
			t.Errorf("with the admin table %q (-want +got):\n%s", admin, diff)
		}
	}
}
