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

// A Table is the one table: every item has the string keys pk and sk, and expires by the epoch seconds in ttl, if set.
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

// workPartitions are the partition keys of everything but API keys: those are made and revoked by people with credentials
// of their own, and no function has a permission for it.
func workPartitions() []string {
	return []string{"req#*", "counters#*", "journal#*", "worker#*", "limit#*", "tenant#*"}
}

// modelsPartition has what operators say of models, with credentials of their own: no function has a permission to write it.
const modelsPartition = "models"

// runningPartition has an entry of each batch that may be unfinished, which workers do not need.
const runningPartition = "running"

// expiringPartition has what the sweep erases when its life is over.
const expiringPartition = "expiring"

// onKeys limits an action to items of some partitions. It allows and denies nothing, as AWS advises, and with ForAllValues,
// as AWS demands: where a request has no such key at all, it holds.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
func onKeys(partitions ...string) map[string]any {
	return map[string]any{"ForAllValues:StringLike": map[string]any{"dynamodb:LeadingKeys": partitions}}
}

// GrantLoad lets submit keep files and batches, read API keys, and insert requests in groups. BatchExecuteStatement has no
// permission of its own: its statements do.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
func (t *Table) GrantLoad(fn *Function) {
	fn.Allow(t.TableArn(), "dynamodb:GetItem", "dynamodb:Query")
	t.grant(fn, append(workPartitions(), runningPartition, expiringPartition),
		"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:PartiQLInsert")
}

// GrantWork lets execute read batches and models and move requests on, in groups too; it deletes nothing.
func (t *Table) GrantWork(fn *Function) {
	t.grant(fn, []string{modelsPartition}, "dynamodb:Query")
	t.grant(fn, workPartitions(), "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem",
		"dynamodb:PartiQLUpdate")
}

// GrantSeal lets finalize walk a batch's requests and end them, in groups too, and delete the entries of batches that have
// ended, and nothing else.
func (t *Table) GrantSeal(fn *Function) {
	t.grant(fn, append(workPartitions(), runningPartition, expiringPartition),
		"dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:PartiQLUpdate")
	t.grant(fn, []string{runningPartition}, "dynamodb:DeleteItem")
}

func (t *Table) grant(fn *Function, partitions []string, actions ...string) {
	fn.AllowIf(onKeys(partitions...), t.TableArn(), actions...)
	fn.Setenv(boot.EnvTable, t.TableName())
}
