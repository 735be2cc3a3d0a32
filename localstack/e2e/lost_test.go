//go:build e2e

package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/route"
)

// lostLines is how many lines a batch has of whose messages some are lost, and lostPlaces how many of them are called at
// once: the others' messages wait in the queue, and whoever receives one before its turn shows it again.
const lostLines, lostPlaces = 1500, 100

// TestLostMessages deletes messages of a running batch behind everybody's back. It is due before they can be missed, which
// takes minutes: then those lines, which nobody called, expire, and every other has what came of it.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	lines, order := slowLines(t, m)
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "45s")
	lost := loseMessages(t, b.ID, 20)
	b = await(t.Context(), t, c, b.ID, patience, ended)
	output, errs := results(t.Context(), t, c, b.OutputFileID), results(t.Context(), t, c, b.ErrorFileID)
	if b.Status != openai.BatchStatusExpired || b.RequestCounts.Completed != int64(len(output)) || len(output)+len(errs) != len(lines) {
		t.Errorf("batch ended %s with %d and %d lines", describe(b), len(output), len(errs))
	}
	if diff := cmp.Diff(order, slices.Sorted(slices.Values(customIDs(slices.Concat(output, errs))))); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	called := calls(t.Context(), t, m)
	for _, r := range errs {
		if errorCode(r) != "batch_expired" {
			t.Errorf("%s: %+v, want batch_expired", r.CustomID, r)
		}
	}
	lost = slices.DeleteFunc(lost, func(id string) bool { return called[id] > 0 }) // a worker had the message too
	if len(lost) == 0 {
		t.Error("no line has lost its message")
	}
	for _, id := range lost {
		if !slices.Contains(customIDs(errs), id) {
			t.Errorf("%s has lost its message, and has not expired", id)
		}
	}
	t.Logf("%d messages were lost, %d lines were done", len(lost), len(output))
}

// slowLines returns lines of a model of their own that takes long, and few at a time, and the lines' ids.
func slowLines(t *testing.T, m string) (lines []any, ids []string) {
	t.Helper()
	model, way := strings.ToLower(m), toStandin(t, "own", "standin:latency=4s")
	way.MaxConcurrency = lostPlaces
	putModel(t, route.Model{Pattern: model, Routes: []route.Route{way}})
	time.Sleep(routesKnown)
	for i := range lostLines {
		ids = append(ids, fmt.Sprintf("line-%04d", i+1))
		lines = append(lines, chat(ids[i], model, m))
	}
	return lines, ids
}

// loseMessages receives from the queue beside the workers, deletes what it gets of a batch until that is enough, and shows
// the rest again. It returns the custom ids of the lines. A worker may have a few of their messages too.
func loseMessages(t *testing.T, batchID string, enough int) []string {
	t.Helper()
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	queues, url := sqs.NewFromConfig(cfg), variable(t, boot.EnvQueueURL)
	var lost []string
	until(t.Context(), t, patience, "messages are lost", func() bool {
		out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: 60,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range out.Messages {
			m, err := batch.DecodeMessage(aws.ToString(message.Body))
			if err != nil || m.Batch != batchID { // Not shown again, it is so by itself, in a minute.
				_, _ = queues.ChangeMessageVisibility(t.Context(),
					&sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: message.ReceiptHandle})
				continue
			}
			_, err = queues.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: message.ReceiptHandle})
			if err == nil { // A queue may hand a message to two, and then the handle of one is not good.
				lost = append(lost, fmt.Sprintf("line-%04d", m.Line))
			}
		}
		return len(lost) >= enough
	})
	return lost
}
