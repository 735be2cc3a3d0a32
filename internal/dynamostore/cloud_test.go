//go:build e2e

package dynamostore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/storetest"
)

// client returns a client of the local cloud.
func client(t *testing.T) *dynamodb.Client {
	t.Helper()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Fatal("AWS_ENDPOINT_URL names no local cloud")
	}
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Region, cfg.Credentials = "us-east-1", credentials.NewStaticCredentialsProvider("test", "test", "")
	return dynamostore.NewClient(cfg)
}

// newTable creates a table that goes with the test.
func newTable(t storetest.TB, api *dynamodb.Client) string {
	t.Helper()
	name := "storetest-" + strings.ToLower(rand.Text())
	_, err := api.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange},
		},
	})
	// The SDK repeats calls whose answers were lost.
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		t.Fatalf("create table: %v", err)
	}
	t.Cleanup(func() {
		_, err := api.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &name})
		var gone *types.ResourceNotFoundException
		if err != nil && !errors.As(err, &gone) {
			t.Errorf("delete table: %v", err)
		}
	})
	wait := dynamodb.NewTableExistsWaiter(api)
	if err := wait.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
		t.Fatalf("wait for table: %v", err)
	}
	return name
}

// open returns a store on a table.
func open(t storetest.TB, api dynamostore.API, table string) *dynamostore.Store {
	t.Helper()
	s, err := dynamostore.New(api, dynamostore.Config{
		Table: table, Now: time.Now, Retention: 30 * 24 * time.Hour,
	})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	api := client(t)
	s := open(t, api, newTable(t, api))
	storetest.Run(t, func(*testing.T) storetest.Store { return s })
}

func TestGrouping(t *testing.T) {
	t.Parallel()
	api := client(t)
	s := dynamostore.NewGrouping(open(t, api, newTable(t, api)))
	storetest.Run(t, func(*testing.T) storetest.Store { return s })
}

// TestPair does the same to a store in memory and one on a table, which at times
// ends requests in company.
func TestPair(t *testing.T) {
	t.Parallel()
	api := client(t)
	storetest.RunPair(t, func(rt *rapid.T) (storetest.Store, storetest.Store) {
		s := open(rt, api, newTable(rt, api))
		if rapid.Bool().Draw(rt, "grouping") {
			return memstore.NewStore(), dynamostore.NewGrouping(s)
		}
		return memstore.NewStore(), s
	})
}
