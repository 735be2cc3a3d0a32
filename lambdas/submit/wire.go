package main

import (
	"crypto/rand"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/inspect"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/s3file"
	"github.com/musketry/musketry/internal/sfnflow"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/sweep"
)

// wire joins the API, the loader and the eraser to AWS's services.
func wire(kit boot.Kit) (handler, error) {
	env, cfg, clock, log := kit.Config, kit.AWS, kit.Clock, kit.Log
	store, err := dynamostore.New(dynamostore.NewClient(cfg),
		dynamostore.Config{
			Table: env.Table, Admin: env.AdminTable, Now: clock, Retention: batch.Retention, CreateRate: env.Settings.LoadRate,
		})
	if err != nil {
		return handler{}, fmt.Errorf("submit: store: %w", err)
	}
	defaults, err := env.DefaultModels()
	if err != nil {
		return handler{}, fmt.Errorf("submit: %w", err)
	}
	models := route.NewCache(store, clock, log, defaults...)
	client := s3file.NewClient(cfg)
	bucket := s3file.New(client, env.Bucket)
	flow := sfnflow.New(sfn.NewFromConfig(cfg), env.FlowARN)
	acceptor := submit.NewAcceptor(submit.AcceptDeps{
		Store: store, Flow: flow, Receipts: store, Clock: clock, Random: rand.Reader, Log: log,
	}, acceptConfig(env.Settings))
	loader := submit.NewLoader(submit.LoadDeps{
		Store: store, Source: store, Inputs: bucket, Clock: clock, Log: log, Models: models.Table,
	}, loadConfig(env.Settings))
	eraser := sweep.NewEraser(sweep.EraseDeps{
		Expiries: store, Files: store, Uploads: store, Objects: bucket, Quotas: store, Clock: clock, Log: log,
	}, sweep.EraseConfig{})
	inspector := inspect.New(inspect.Deps{Requests: store, Batches: store, Objects: bucket, Flow: flow, Clock: clock})
	return handler{
		api: api.New(api.Deps{
			Keys: store, Files: store, Batches: store, Objects: bucket, Contents: bucket, Parts: bucket, Uploads: store, Quotas: store,
			Acceptor: acceptor, Requests: inspector, Presigner: s3file.NewPresigner(client, env.Bucket), Logger: log,
			Metrics: kit.Metrics, Clock: clock, Random: rand.Reader, Models: models.Table, Limits: store,
		}, apiConfig(env.Settings)),
		load: loader.Load, erase: eraser.Erase, after: kit.Metrics.Flush,
	}, nil
}
