package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/internal/boot"
)

// TableProps say what becomes of the table when the stack is deleted, and what it is prepared for, or which one another stack
// left.
type TableProps struct {
	Removal    awscdk.RemovalPolicy
	WarmWrites float64 // Write units a second; 0: what AWS gives a new table. It cannot be lowered again.
	Existing   string  // Name of a table that is taken over; empty: it is made.
}

// A Table is one of two: every item has the string keys pk and sk, and expires by the epoch seconds in ttl, if set.
type Table struct {
	awsdynamodb.ITable
}

// NewTable adds the table: on demand, since a batch system idles most of the time, and restorable to any second of the
// last 35 days. One that outlives its stack is protected from deletion by others too. One that is taken over stays as it is.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html#WorkingWithTables.Basics.DeletionProtection
func NewTable(scope constructs.Construct, id string, props *TableProps) *Table {
	if props.Existing != "" {
		return &Table{awsdynamodb.Table_FromTableName(scope, &id, &props.Existing)}
	}
	var warm *awsdynamodb.WarmThroughput
	if props.WarmWrites > 0 {
		warm = &awsdynamodb.WarmThroughput{WriteUnitsPerSecond: &props.WarmWrites}
	}
	return &Table{awsdynamodb.NewTable(scope, &id, &awsdynamodb.TableProps{
		PartitionKey:        &awsdynamodb.Attribute{Name: jsii.String("pk"), Type: awsdynamodb.AttributeType_STRING},
		SortKey:             &awsdynamodb.Attribute{Name: jsii.String("sk"), Type: awsdynamodb.AttributeType_STRING},
		BillingMode:         awsdynamodb.BillingMode_PAY_PER_REQUEST,
		TimeToLiveAttribute: jsii.String("ttl"),
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(true),
		},
		RemovalPolicy:      props.Removal,
		DeletionProtection: jsii.Bool(props.Removal == awscdk.RemovalPolicy_RETAIN),
		WarmThroughput:     warm,
	})}
}

// The partition keys of the tables, by what lies there (internal/dynamostore/keys.go).
const (
	requestsOf  = "req#*"
	countersOf  = "counters#*"
	journalOf   = "journal#*"
	workers     = "worker#*"
	limits      = "limit#*"  // What workers know of routes, and nobody else writes.
	tenantsOf   = "tenant#*" // Batches, files, uploads, receipts and quotas.
	runningOnes = "running"
	expiring    = "expiring" // What the sweep erases when its life is over.
	keys        = "key#*"    // Of the admin table, as are models.
	models      = "models"   // What operators say of them.
)

// onKeys limits an action to items of some partitions. It allows and denies nothing, as AWS advises, with ForAllValues, as AWS
// demands, and with Null: ForAllValues alone holds where a request names no key at all, as a scan does.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
func onKeys(partitions ...string) map[string]any {
	const leading = "dynamodb:LeadingKeys"
	return map[string]any{
		"ForAllValues:StringLike": map[string]any{leading: partitions},
		"Null":                    map[string]any{leading: "false"},
	}
}

// GrantLoad lets submit read all of the table, keep files and batches, insert requests in groups, cancel single ones, and erase what has expired. Who reads a
// journal fills its gaps. BatchExecuteStatement has no permission of its own: its statements do.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
func (t *Table) GrantLoad(fn *Function) {
	fn.Allow(t.TableArn(), "dynamodb:GetItem", "dynamodb:Query")
	t.grant(fn, "dynamodb:PutItem", tenantsOf, runningOnes, expiring, requestsOf, countersOf, journalOf)
	t.grant(fn, "dynamodb:DeleteItem", tenantsOf, expiring)
	t.grant(fn, "dynamodb:PartiQLInsert", requestsOf)
}

// GrantWork lets execute read batches, move requests on, in groups too, and keep what is known of routes; it
// deletes nothing.
func (t *Table) GrantWork(fn *Function) {
	t.grant(fn, "dynamodb:GetItem", tenantsOf, requestsOf, workers, limits)
	t.grant(fn, "dynamodb:Query", countersOf, journalOf) // of a journal its last entry, where its number was filled meanwhile
	t.grant(fn, "dynamodb:PutItem", tenantsOf, requestsOf, countersOf, journalOf, workers, limits)
	t.grant(fn, "dynamodb:UpdateItem", journalOf)
	t.grant(fn, "dynamodb:PartiQLUpdate", requestsOf)
}

// GrantSeal lets finalize walk a batch's requests and end them, in groups too, and delete the entries of batches that have
// ended, and nothing else.
func (t *Table) GrantSeal(fn *Function) {
	t.grant(fn, "dynamodb:GetItem", tenantsOf, runningOnes, requestsOf, journalOf, workers)
	t.grant(fn, "dynamodb:Query", runningOnes, requestsOf, countersOf, journalOf)
	t.grant(fn, "dynamodb:PutItem", tenantsOf, runningOnes, expiring, requestsOf, countersOf, journalOf)
	t.grant(fn, "dynamodb:UpdateItem", journalOf)
	t.grant(fn, "dynamodb:PartiQLUpdate", requestsOf)
	t.grant(fn, "dynamodb:DeleteItem", runningOnes)
}

// grant lets a function do one thing to items of some partitions.
func (t *Table) grant(fn *Function, action string, partitions ...string) {
	fn.AllowIf(onKeys(partitions...), t.TableArn(), action)
	fn.Setenv(boot.EnvTable, t.TableName())
}

// An AdminTable has the API keys and models, which people write with credentials of their own: no function may write it,
// whatever its other permissions become.
type AdminTable struct{ Table }

// NewAdminTable adds the table, which is like the other.
func NewAdminTable(scope constructs.Construct, id string, props *TableProps) *AdminTable {
	return &AdminTable{*NewTable(scope, id, props)}
}

// GrantReads lets submit look keys up, and both read all models.
func (t *AdminTable) GrantReads(submit, execute *Function) {
	t.read(submit, "dynamodb:GetItem", keys)
	t.read(submit, "dynamodb:Query", models)
	t.read(execute, "dynamodb:Query", models)
}

func (t *AdminTable) read(fn *Function, action, partition string) {
	fn.AllowIf(onKeys(partition), t.TableArn(), action)
	fn.Setenv(boot.EnvAdminTable, t.TableName())
}
