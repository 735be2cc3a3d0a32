package main

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/s3file"
	"github.com/musketry/musketry/internal/sfnflow"
	"github.com/musketry/musketry/internal/sqsqueue"
	"github.com/musketry/musketry/internal/upstream"
)

// wire joins the worker to AWS's services and to the upstream.
func wire(kit boot.Kit) (handler, error) {
	store, err := dynamostore.New(dynamostore.NewClient(kit.AWS),
		dynamostore.Config{Table: kit.Table, Admin: kit.AdminTable, Now: kit.Clock, Retention: batch.Retention})
	if err != nil {
		return handler{}, fmt.Errorf("execute: store: %w", err)
	}
	defaults, err := kit.DefaultModels()
	if err != nil {
		return handler{}, fmt.Errorf("execute: %w", err)
	}
	client := upstream.New(upstream.Config{
		Key: kit.Keys().Key, Credentials: kit.AWS.Credentials, Now: kit.Clock, RootCAs: kit.UpstreamCA, Places: kit.Settings.Places,
	})
	worker := execute.New(execute.Deps{
		Requests: store, Workers: store, Limits: store, Batches: store,
		Files:  s3file.New(s3file.NewClient(kit.AWS), kit.Bucket),
		Queue:  sqsqueue.New(sqs.NewFromConfig(kit.AWS), sqsqueue.Config{URL: kit.QueueURL}),
		Flow:   sfnflow.New(sfn.NewFromConfig(kit.AWS), ""), // it wakes flows and starts none
		Caller: &caller{client: client, clock: kit.Clock, log: kit.Log}, Metrics: kit.Metrics, Log: kit.Log,
		Clock: kit.Clock, Uniform: mathrand.Float64, NewID: rand.Text,
		Models: route.NewCache(store, kit.Clock, kit.Log, defaults...).Table,
	}, execute.Config{Models: kit.Settings.Models, Places: kit.Settings.Places, Memory: kit.Memory})
	return handler{worker: worker, after: kit.Metrics.Flush}, nil
}
