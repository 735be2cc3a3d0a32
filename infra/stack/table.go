package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/internal/boot"
)

// TableProps say what becomes of the table when the stack is deleted.
type TableProps struct {
	Removal awscdk.RemovalPolicy
}

// Table is the one table: every item has the string keys pk and sk, and expires by the epoch seconds in ttl, if set.
type Table struct {
	awsdynamodb.Table
}

// NewTable adds the table: on demand, since a batch system idles most of the time, and restorable to any second of the
// last 35 days.
func NewTable(scope constructs.Construct, id string, props *TableProps) *Table {
	return &Table{awsdynamodb.NewTable(scope, &id, &awsdynamodb.TableProps{
		PartitionKey:        &awsdynamodb.Attribute{Name: jsii.String("pk"), Type: awsdynamodb.AttributeType_STRING},
		SortKey:             &awsdynamodb.Attribute{Name: jsii.String("sk"), Type: awsdynamodb.AttributeType_STRING},
		BillingMode:         awsdynamodb.BillingMode_PAY_PER_REQUEST,
		TimeToLiveAttribute: jsii.String("ttl"),
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(true),
		},
		RemovalPolicy: props.Removal,
	})}
}

// GrantLoad lets submit keep files, batches and keys, and insert requests in groups. BatchExecuteStatement has no
// permission of its own: its statements do.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
func (t *Table) GrantLoad(fn *Function) {
	t.grant(fn, "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem",
		"dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem",
		"dynamodb:PartiQLInsert")
}

// GrantWork lets execute read batches and move requests on; it deletes nothing.
func (t *Table) GrantWork(fn *Function) {
	t.grant(fn, "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem",
		"dynamodb:UpdateItem")
}

// GrantSeal lets finalize walk a batch's requests, end them, in groups too, and clear up.
func (t *Table) GrantSeal(fn *Function) {
	t.grant(fn, "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem",
		"dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem",
		"dynamodb:PartiQLUpdate")
}

func (t *Table) grant(fn *Function, actions ...string) {
	fn.Allow(t.TableArn(), actions...)
	fn.Setenv(boot.EnvTable, t.TableName())
}
