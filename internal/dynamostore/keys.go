package dynamostore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// The tables' keys. Everything that lies in them:
//
//	pk                  sk             what
//	req#BATCH#SHARD     LINE           a request; LINE has nine digits, so that it sorts as a number
//	counters#BATCH      COUNTER        a worker process's counts of a batch
//	journal#BATCH       N              which lines were recorded next; N has nine digits
//	journal#BATCH#last  last           how many numbers of its journal were given out
//	worker#WORKER       worker         a worker's heartbeat
//	tenant#TENANT       batch#BATCH    a batch; its id sorts by time
//	tenant#TENANT       history#BATCH  how it went
//	tenant#TENANT       file#FILE      a file; its id sorts by time
//	tenant#TENANT       upload#UPLOAD  a file that comes in parts
//	tenant#TENANT       receipt#KEY    which batch an order became
//	tenant#TENANT       quota          a tenant's unfinished batches, and what it has stored
//	tenant#TENANT       use#HASH       on which day an API key was last used
//	running             batch#BATCH    that a batch may be unfinished, and which of its flows was started last
//	running             expiring#SECOND#TENANT#ID  that the life of a file or an upload ends then
//	running             allowance      how the messages that may be in flight are shared
//	limit#ROUTE         limit          what the fleet knows of a route: call times, slots, its pause
//
// And in the admin table, which no function may write (ADR 0033):
//
//	keys                key#TENANT#HASH  that the tenant has this key, and nothing else of it
//	key#HASH            key            an API key
//	models              model#PATTERN  what an operator says of the models of a pattern
//	audit               act#MILLISECOND#HASH  what an operator did to keys or models
const (
	attrPK  = "pk"
	attrSK  = "sk"
	attrTTL = "ttl" // epoch seconds at which the item may go; absent: never

	skWorker    = "worker"
	skKey       = "key"
	skQuota     = "quota"
	skLast      = "last"
	skAllowance = "allowance"
	skLimit     = "limit"
	// One partition has all that runs. It takes 1,000 writes a second, and each
	// batch makes two, so it bears 500 batches a second; Step Functions starts 300
	// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
	pkRunning = "running"
	// One has what will expire, apart from what runs: submit, which erases, deletes of it.
	// It takes 1,000 writes a second, and each file and upload makes two.
	pkExpiring = "expiring"
	pkKeys     = "keys" // one partition lists all keys: a deployment has few, and hardly ever makes one
	// All models are read at once, every few seconds and by every worker: a page of
	// 1 MB is a call, and a partition takes 3,000 reads of 4 KB a second.
	pkModels = "models"
	pkAudit  = "audit" // one partition has all acts: a few a day

	prefixBatch   = "batch#"
	prefixHistory = "history#"
	prefixFile    = "file#"
	prefixUpload  = "upload#"
	prefixReceipt = "receipt#"
	prefixUse     = "use#"
	prefixKey     = "key#"
	prefixModel   = "model#"
	prefixAct     = "act#"
	prefixLimit   = "limit#"

	prefixExpiring = "expiring#"

	lineDigits = 9 // a batch has far fewer than a thousand million lines
)

// maxName is the longest id that a caller may look up, in bytes: longer ones
// were never given out, and a sort key ends at 1,024 bytes
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const maxName = 512

// A key is an item's primary key.
type key struct{ pk, sk string }

func (k key) item() item {
	return item{attrPK: &types.AttributeValueMemberS{Value: k.pk}, attrSK: &types.AttributeValueMemberS{Value: k.sk}}
}

// keyOf returns the key of it.
func keyOf(it item) (k key) {
	r := reader{item: it}
	k.pk, k.sk = r.string(attrPK), r.string(attrSK)
	return k
}

func requestsOf(batchID string, shard int) string { return fmt.Sprintf("req#%s#%d", batchID, shard) }
func lineKey(line int) string                     { return fmt.Sprintf("%0*d", lineDigits, line) }
func countersOf(batchID string) string            { return "counters#" + batchID }
func numbersOf(batchID string) string             { return fmt.Sprintf("journal#%s#last", batchID) }
func ownedBy(tenant string) string                { return "tenant#" + tenant }

func requestKey(k state.Key) key           { return key{requestsOf(k.Batch, k.Shard), lineKey(k.Line)} }
func counterKey(batchID, shard string) key { return key{countersOf(batchID), shard} }
func numbersKey(batchID string) key        { return key{numbersOf(batchID), skLast} }
func workerKey(id string) key              { return key{"worker#" + id, skWorker} }
func batchKey(tenant, id string) key       { return key{ownedBy(tenant), prefixBatch + id} }
func historyKey(r batch.Ref) key           { return key{ownedBy(r.Tenant), prefixHistory + r.ID} }
func fileKey(tenant, id string) key        { return key{ownedBy(tenant), prefixFile + id} }
func uploadKey(tenant, id string) key      { return key{ownedBy(tenant), prefixUpload + id} }
func receiptKey(tenant, k string) key      { return key{ownedBy(tenant), prefixReceipt + k} }
func quotaKey(tenant string) key           { return key{ownedBy(tenant), skQuota} }
func useKey(tenant, hash string) key       { return key{ownedBy(tenant), prefixUse + hash} }
func runningKey(batchID string) key        { return key{pkRunning, prefixBatch + batchID} }
func allowanceKey() key                    { return key{pkRunning, skAllowance} }
func limitKey(id string) key               { return key{prefixLimit + id, skLimit} }
func keyKey(hash string) key               { return key{prefixKey + hash, skKey} }
func keyMark(tenant, hash string) key      { return key{pkKeys, keysOf(tenant) + hash} }
func modelKey(pattern string) key          { return key{pkModels, prefixModel + pattern} }
func actKey(id string) key                 { return key{pkAudit, prefixAct + id} }
func idOf(prefix, sk string) string        { return strings.TrimPrefix(sk, prefix) }
func tenantOf(pk string) string            { return strings.TrimPrefix(pk, "tenant#") }

// keysOf returns how the sort keys of a tenant's marks begin. No tenant's name has a '#'.
func keysOf(tenant string) string { return prefixKey + tenant + "#" }

// past returns what sorts right after everything that begins with prefix.
func past(prefix string) string {
	return prefix[:len(prefix)-1] + string(prefix[len(prefix)-1]+1)
}

// requestOf reads what requestKey wrote.
func requestOf(pk, sk string) (state.Key, error) {
	rest, ok := strings.CutPrefix(pk, "req#")
	at := strings.LastIndexByte(rest, '#')
	if !ok || at < 0 {
		return state.Key{}, fmt.Errorf("dynamostore: %q is no key of a request", pk)
	}
	shard, err := strconv.Atoi(rest[at+1:])
	if err != nil {
		return state.Key{}, fmt.Errorf("dynamostore: shard of %q: %w", pk, err)
	}
	line, err := strconv.Atoi(sk)
	if err != nil {
		return state.Key{}, fmt.Errorf("dynamostore: line %q: %w", sk, err)
	}
	return state.Key{Batch: rest[:at], Line: line, Shard: shard}, nil
}
