//go:build e2e

package sqsqueue_test

import (
	"context"
	"crypto/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/sqsqueue"
)

// newQueue creates a queue on the local cloud that goes with the test.
func newQueue(t *testing.T) (*sqs.Client, string) {
	t.Helper()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Fatal("AWS_ENDPOINT_URL names no local cloud")
	}
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Region, cfg.Credentials = "us-east-1", credentials.NewStaticCredentialsProvider("test", "test", "")
	api := sqs.NewFromConfig(cfg)
	out, err := api.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName:  aws.String("queuetest-" + strings.ToLower(rand.Text())),
		Attributes: map[string]string{"VisibilityTimeout": "600"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := api.DeleteQueue(context.WithoutCancel(t.Context()), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
		if err != nil {
			t.Error(err)
		}
	})
	return api, *out.QueueUrl
}

// receive returns the messages that come until none has come for a while.
func receive(t *testing.T, api *sqs.Client, url string) []types.Message {
	t.Helper()
	var all []types.Message
	for {
		out, err := api.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		all = append(all, out.Messages...)
	}
}

func TestOnTheCloud(t *testing.T) {
	t.Parallel()
	for _, groups := range []bool{false, true} {
		api, url := newQueue(t)
		q := sqsqueue.New(api, sqsqueue.Config{URL: url, Groups: groups})
		if err := q.Send(t.Context(), messages(25)); err != nil {
			t.Fatal(err)
		}
		var lines []int
		var held []string
		for _, m := range receive(t, api, url) {
			got, err := batch.DecodeMessage(*m.Body)
			if err != nil {
				t.Fatal(err)
			}
			lines, held = append(lines, got.Line), append(held, *m.ReceiptHandle)
			if group := m.Attributes["MessageGroupId"]; groups != (group == "acme") {
				t.Errorf("groups %t: the group is %q", groups, group)
			}
		}
		slices.Sort(lines)
		if len(lines) != 25 || lines[0] != 1 || lines[24] != 25 {
			t.Fatalf("received lines %v", lines)
		}
		if err := q.ChangeVisibility(t.Context(), held[:12], 0); err != nil {
			t.Fatal(err)
		}
		again := receive(t, api, url)
		if len(again) != 12 {
			t.Errorf("%d messages were shown", len(again))
		}
		for _, m := range again {
			held = append(held, *m.ReceiptHandle)
		}
		if err := q.ChangeVisibility(t.Context(), held[25:], 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		if n := len(receive(t, api, url)); n > 0 {
			t.Errorf("%d messages are not hidden", n)
		}
		if err := q.Delete(t.Context(), held); err != nil { // some of the handles are stale
			t.Fatal(err)
		}
		if err := q.Delete(t.Context(), held); err != nil { // and now all
			t.Errorf("delete again: %v", err)
		}
		if err := q.ChangeVisibility(t.Context(), held, 0); err != nil {
			t.Errorf("hide what is gone: %v", err)
		}
		goneOnAWS(t, api, url, held[0])
		if n := len(receive(t, api, url)); n > 0 {
			t.Errorf("%d messages came back", n)
		}
		if err := q.Delete(t.Context(), []string{"no handle at all"}); err != nil {
			t.Errorf("delete by a bad handle: %v", err)
		}
	}
}

// goneOnAWS demands of an engine what AWS says of a deleted message's handle
// (docs/aws.md), but for an ending.
func goneOnAWS(t *testing.T, api *sqs.Client, url, handle string) {
	t.Helper()
	out, err := api.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: &url,
		Entries:  []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: &handle}},
	})
	if err != nil || len(out.Failed) != 1 ||
		strings.TrimSuffix(aws.ToString(out.Failed[0].Code), "Exception") != "InvalidParameterValue" {
		t.Errorf("a deleted message's visibility: %+v, %v", out, err)
	}
}
