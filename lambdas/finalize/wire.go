package main

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/s3file"
	"github.com/musketry/musketry/internal/sfnflow"
	"github.com/musketry/musketry/internal/sqsqueue"
	"github.com/musketry/musketry/internal/sweep"
)

// wire joins a finalizer and a sweeper to AWS's services.
func wire(kit boot.Kit) (handler, error) {
	store, err := dynamostore.New(dynamostore.NewClient(kit.AWS),
		dynamostore.Config{Table: kit.Table, Now: kit.Clock, Retention: batch.Retention})
	if err != nil {
		return handler{}, fmt.Errorf("finalize: store: %w", err)
	}
	bucket := s3file.New(s3file.NewClient(kit.AWS), kit.Bucket)
	messages := sqs.NewFromConfig(kit.AWS)
	queue := sqsqueue.New(messages, sqsqueue.Config{URL: kit.QueueURL, Groups: kit.MessageGroups})
	flow := sfnflow.New(sfn.NewFromConfig(kit.AWS), kit.FlowARN)
	return handler{
		answers: answers(),
		finalizer: finalize.New(finalize.Deps{
			Requests: dynamostore.NewGrouping(store), Journal: store, Batches: store, Objects: bucket, Uploads: bucket,
			Queue: queue, Flow: flow, Clock: kit.Clock, Log: kit.Log,
			NewFileID: func(now time.Time) (string, error) { return batch.NewID(batch.PrefixFile, now, rand.Reader) },
		}, finalize.Config{Allowance: kit.Settings.Allowance}),
		sweeper: sweep.New(sweep.Deps{
			Batches: store, Flows: flow, Requests: store, Letters: sqsqueue.NewDeadLetters(messages, kit.DeadLettersURL),
			Queue: queue, Metrics: kit.Metrics, Clock: kit.Clock, Log: kit.Log,
		}, sweep.Config{}),
		after: kit.Metrics.Flush,
	}, nil
}
