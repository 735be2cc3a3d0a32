//go:build e2e

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/s3file"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/submit"
)

// newCloud makes a table, a bucket and a queue on the local cloud that go with
// the test.
func newCloud(t *testing.T) (aws.Config, boot.Config) {
	t.Helper()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Fatal("AWS_ENDPOINT_URL names no local cloud")
	}
	cfg, err := boot.AWS(t.Context())
	must(t, err)
	cfg.Region, cfg.Credentials = "us-east-1", credentials.NewStaticCredentialsProvider("test", "test", "")
	name, ctx := "finalizetest-"+strings.ToLower(rand.Text()), context.WithoutCancel(t.Context())
	tables, buckets, queues := dynamodb.NewFromConfig(cfg), s3file.NewClient(cfg), sqs.NewFromConfig(cfg)
	_, err = tables.CreateTable(ctx, &dynamodb.CreateTableInput{
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
	must(t, err)
	t.Cleanup(func() { _, _ = tables.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name}) })
	_, err = buckets.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	must(t, err)
	queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	must(t, err)
	t.Cleanup(func() { _, _ = queues.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue.QueueUrl}) })
	return cfg, boot.Config{Table: name, Bucket: name, QueueURL: *queue.QueueUrl, MessageGroups: true}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOnTheCloud loads a batch and brings it to its end with all that the
// function is wired to, several finalizers at a time. Its output has 3 parts.
func TestOnTheCloud(t *testing.T) {
	t.Parallel()
	cfg, env := newCloud(t)
	log := slog.New(slog.DiscardHandler)
	h, err := wire(boot.Kit{
		Config: env, AWS: cfg, Clock: time.Now, Log: log, Metrics: boot.NewMetrics(io.Discard, time.Now, ""),
	})
	must(t, err)
	store, err := dynamostore.New(dynamostore.NewClient(cfg),
		dynamostore.Config{Table: env.Table, Now: time.Now, Retention: time.Hour})
	must(t, err)
	bucket := s3file.New(s3file.NewClient(cfg), env.Bucket)

	ctx, ref, lines := t.Context(), batch.Ref{Tenant: "acme", ID: "batch_1"}, 60
	var file bytes.Buffer
	for line := 1; line <= lines; line++ {
		fmt.Fprintf(&file, `{"custom_id":"id-%d","method":"POST","url":"/v1/moderations","body":{}}`+"\n", line)
	}
	must(t, store.CreateFile(ctx, batch.File{Tenant: "acme", ID: "file-in", PinnedBy: []string{ref.ID}}))
	must(t, bucket.Put(ctx, batch.FileKey("acme", "file-in"), file.Bytes()))
	next, err := submit.NewLoader(submit.LoadDeps{
		Store: store, Source: store, Inputs: bucket, Clock: time.Now, Log: log,
	}, submit.LoadConfig{Group: 7, Cursor: 20}).Load(ctx,
		submit.Task{Ref: ref, Record: &batch.Batch{
			Ref: ref, InputFileID: "file-in", Endpoint: "/v1/moderations", Status: batch.StatusValidating,
			CreatedAt: time.Now(), Deadline: time.Now().Add(time.Hour),
		}})
	if next != submit.NextAdvance || err != nil {
		t.Fatalf("after the load, next is %q, %v", next, err)
	}
	parked, err := h.handle(ctx, task{Task: "advance", Tenant: "acme", Batch: ref.ID})
	if parked.Next != finalize.NextLong || err != nil {
		t.Fatalf("after enqueueing, next is %q, %v", parked.Next, err)
	}
	want := answerAll(t, store, bucket, ref)

	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 5 { // they may fail each other, as the flow's repeats allow
				if end, err := h.finalizer.Advance(ctx, ref); err == nil && end == finalize.NextEnd {
					return
				}
			}
			t.Error("it does not end")
		})
	}
	wg.Wait()
	b, err := store.Batch(ctx, ref)
	must(t, err)
	if b.Status != batch.StatusCompleted || b.Counts != (batch.Counts{Total: lines, Completed: lines}) ||
		b.ErrorFileID != "" || len(b.WriteOut.Output.Parts) != 3 {
		t.Fatalf("batch is %+v", b)
	}
	out, err := store.File(ctx, "acme", b.OutputFileID)
	must(t, err)
	body, err := bucket.Open(ctx, out.ObjectKey(), 0)
	must(t, err)
	got, err := io.ReadAll(body)
	must(t, err)
	must(t, body.Close())
	if !bytes.Equal(got, want) || out.Bytes != int64(len(want)) {
		t.Errorf("the output has %d bytes, its record says %d, want %d", len(got), out.Bytes, len(want))
	}
	if in, err := store.File(ctx, "acme", "file-in"); err != nil || len(in.PinnedBy) > 0 {
		t.Errorf("the input file is pinned by %v, %v", in.PinnedBy, err)
	}
}

// answerAll does what workers do with all of a batch's requests. It returns the
// lines of the answers.
func answerAll(t *testing.T, store *dynamostore.Store, bucket *s3file.Bucket, ref batch.Ref) []byte {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	b, err := store.Batch(ctx, ref)
	must(t, err)
	var segment []byte
	var changes []state.Change
	for line := 1; line <= b.Counts.Total; line++ {
		rec, err := store.Request(ctx, b.Key(line))
		must(t, err)
		pending, err := state.As[state.Pending](rec)
		must(t, err)
		lease := state.Lease{ClaimID: fmt.Sprint("claim-", line), Worker: "w1", Expires: now.Add(time.Hour)}
		claimed, err := state.Claim(pending, lease, now)
		must(t, err)
		started, err := state.Start(claimed, now)
		must(t, err)
		change, err := started.Change()
		must(t, err)
		must(t, store.Apply(ctx, change))
		answer := fmt.Appendf(nil, `{"custom_id":%q,"text":"%s"}`+"\n", rec.Spec.CustomID, strings.Repeat("x", 400_000))
		span := state.Span{Object: "s1", Offset: int64(len(segment)), Length: int64(len(answer))}
		segment = append(segment, answer...)
		change, err = state.Complete(started.Stored(), state.Result{StatusCode: 200, Answer: span}, now).Change()
		must(t, err)
		changes = append(changes, change)
	}
	must(t, bucket.Put(ctx, batch.SegmentKey(ref.ID, "s1"), segment))
	for _, change := range changes {
		must(t, store.Apply(ctx, change))
	}
	must(t, store.PutCounter(ctx, ref.ID, batch.CounterShard{ID: "c1", Counts: batch.Counts{Completed: b.Counts.Total}}))
	return segment
}
