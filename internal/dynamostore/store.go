package dynamostore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
)

// The defaults of a Config, and what is not configured.
const (
	defaultParallel = 8
	defaultTimeout  = 30 * time.Second
	workerLife      = 24 * time.Hour  // far longer than any lease
	counterLife     = batch.MaxWindow // and the retention: a counter shard outlives its batch
)

// ErrConfig reports a Config that makes no Store; the error wrapping it says why.
var ErrConfig = errors.New("dynamostore: invalid configuration")

// A Config says how a Store behaves.
type Config struct {
	Table     string           // the table's name; required
	Admin     string           // the name of the table of API keys and models; empty: Table
	Now       func() time.Time // the clock that dates the expiry of counter shards; required
	Retention time.Duration    // how long ended batches and their requests are kept; 0: for good
	Parallel  int              // how many calls Create and Requests make at once; 0: 8
	Timeout   time.Duration    // a call's time, its repeats included; 0: 30 s
	Random    io.Reader        // of jitter and marks, safe for concurrent use; nil: crypto/rand

	// CreateRate is the most requests that Create inserts in a second, and half as
	// many when DynamoDB refuses some for their number; 0: as fast as it goes.
	CreateRate int
}

// A Store keeps everything in one table, or what only operators write in another.
type Store struct {
	api       API
	table     string
	admin     *Store // of API keys and models: the same, in their table
	now       func() time.Time
	retention time.Duration
	parallel  int
	timeout   time.Duration
	random    io.Reader
	inserting *pace
}

// New returns a Store. It returns an error wrapping ErrConfig if cfg names no
// table or no clock, or has a negative number.
func New(api API, cfg Config) (*Store, error) {
	switch {
	case !isTable(cfg.Table):
		return nil, fmt.Errorf("%w: %.64q is no table's name", ErrConfig, cfg.Table)
	case cfg.Admin != "" && !isTable(cfg.Admin):
		return nil, fmt.Errorf("%w: %.64q is no table's name", ErrConfig, cfg.Admin)
	case cfg.Now == nil:
		return nil, fmt.Errorf("%w: it has no clock", ErrConfig)
	case cfg.Retention < 0 || cfg.Parallel < 0 || cfg.Timeout < 0 || cfg.CreateRate < 0:
		return nil, fmt.Errorf("%w: it has a negative number", ErrConfig)
	}
	s := &Store{
		api: api, table: cfg.Table, now: cfg.Now, retention: cfg.Retention,
		parallel: cmp.Or(cfg.Parallel, defaultParallel), timeout: cmp.Or(cfg.Timeout, defaultTimeout),
		random: cmp.Or(cfg.Random, rand.Reader), inserting: newPace(cfg.CreateRate, cfg.Now),
	}
	admin := *s
	admin.table = cmp.Or(cfg.Admin, cfg.Table)
	s.admin, admin.admin = &admin, &admin
	return s, nil
}

func isTable(name string) bool {
	return regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`).MatchString(name)
}

// get returns the item under k, nil if there is none.
func (s *Store) get(ctx context.Context, k key) (item, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: k.item(), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("dynamostore: get: %w", err)
	}
	return out.Item, nil
}

// put stores it, in place of what was there, if cond holds of that. Otherwise
// it returns a *lostError with what was there.
func (s *Store) put(ctx context.Context, it item, cond condition, optFns ...func(*dynamodb.Options)) error {
	if err := it.fits(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	in := &dynamodb.PutItemInput{TableName: &s.table, Item: it}
	if cond.expression != "" {
		in.ConditionExpression = &cond.expression
		in.ExpressionAttributeValues = cond.values
		in.ExpressionAttributeNames = cond.names
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	_, err := s.api.PutItem(ctx, in, optFns...)
	return wrap("put", err)
}

// update does what an update expression says to the item under k, if cond holds of
// it, and returns what it set; else it returns a *lostError.
func (s *Store) update(
	ctx context.Context, k key, expression string, cond condition, names map[string]string,
	values map[string]types.AttributeValue,
) (item, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	in := &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: k.item(), UpdateExpression: &expression,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values, ReturnValues: types.ReturnValueUpdatedNew,
	}
	if cond.expression != "" {
		in.ConditionExpression = &cond.expression
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	out, err := s.api.UpdateItem(ctx, in)
	if err != nil {
		return nil, wrap("update", err)
	}
	return out.Attributes, nil
}

// remove deletes the item under k if cond holds of it; else it returns a
// *lostError.
func (s *Store) remove(ctx context.Context, k key, cond condition) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	in := &dynamodb.DeleteItemInput{TableName: &s.table, Key: k.item()}
	if cond.expression != "" {
		in.ConditionExpression = &cond.expression
		in.ExpressionAttributeValues = cond.values
		in.ExpressionAttributeNames = cond.names
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	_, err := s.api.DeleteItem(ctx, in)
	return wrap("delete", err)
}

// query returns one page of in's items and the key to go on from, nil at the
// end. It reads consistently.
func (s *Store) query(ctx context.Context, in *dynamodb.QueryInput) ([]map[string]types.AttributeValue, item, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	in.TableName, in.ConsistentRead = &s.table, aws.Bool(true)
	out, err := s.api.Query(ctx, in)
	if err != nil {
		return nil, nil, fmt.Errorf("dynamostore: query: %w", err)
	}
	return out.Items, out.LastEvaluatedKey, nil
}

// pause waits for a uniform part of a ceiling that doubles with each try (from
// 0) from first to last, or until ctx ends.
func (s *Store) pause(ctx context.Context, try int, first, last time.Duration) error {
	ceiling := last
	if try < 30 && first<<try < last {
		ceiling = first << try
	}
	part, err := s.uniform()
	if err != nil {
		return err
	}
	timer := time.NewTimer(time.Duration(part * float64(ceiling)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("dynamostore: %w", ctx.Err())
	}
}

// uniform returns a number in [0, 1).
func (s *Store) uniform() (float64, error) {
	var b [8]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return 0, fmt.Errorf("dynamostore: random bytes: %w", err)
	}
	return float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53), nil
}

// mark returns what no other write carries.
func (s *Store) mark() (string, error) {
	var b [12]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return "", fmt.Errorf("dynamostore: random bytes: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}
