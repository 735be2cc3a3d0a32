package main

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/s3file"
	"github.com/musketry/musketry/internal/sfnflow"
	"github.com/musketry/musketry/internal/sqsqueue"
)

// wire joins a finalizer to AWS's services.
func wire(env boot.Config, cfg aws.Config, clock func() time.Time, log *slog.Logger) (*finalize.Finalizer, error) {
	store, err := dynamostore.New(dynamostore.NewClient(cfg),
		dynamostore.Config{Table: env.Table, Now: clock, Retention: boot.Retention})
	if err != nil {
		return nil, fmt.Errorf("finalize: store: %w", err)
	}
	var options []func(*s3.Options)
	if boot.OtherEndpoint(cfg) {
		options = append(options, s3file.PathStyle)
	}
	bucket := s3file.New(s3file.NewClient(cfg, options...), env.Bucket)

	return &finalize.Finalizer{
		Requests: dynamostore.NewGrouping(store), Journal: store, Batches: store, Objects: bucket, Uploads: bucket,
		Queue: sqsqueue.New(sqs.NewFromConfig(cfg), sqsqueue.Config{URL: env.QueueURL, Groups: env.MessageGroups}),
		Flow:  sfnflow.New(sfn.NewFromConfig(cfg), ""), // it wakes by token, and starts none
		Clock: clock, Log: log,
		NewFileID: func(now time.Time) (string, error) { return batch.NewID(batch.PrefixFile, now, rand.Reader) },
	}, nil
}
