package sqsqueue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/sqsqueue"
)

var errReceive = errors.New("no answer")

// mailbox answers a receive.
type mailbox struct {
	sqsqueue.API

	out   *sqs.ReceiveMessageOutput
	err   error
	asked *sqs.ReceiveMessageInput
	limit time.Duration // of the call
}

func (m *mailbox) ReceiveMessage(
	ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options),
) (*sqs.ReceiveMessageOutput, error) {
	m.asked = in
	if end, ok := ctx.Deadline(); ok {
		m.limit = time.Until(end)
	}
	return m.out, m.err
}

func TestReceiveDeadLetters(t *testing.T) {
	t.Parallel()
	m := &mailbox{out: &sqs.ReceiveMessageOutput{Messages: []types.Message{
		{
			MessageId: aws.String("1"), ReceiptHandle: aws.String("h1"), Body: aws.String("b1"),
			Attributes: map[string]string{"SentTimestamp": "1767323045123"},
		},
		{MessageId: aws.String("2"), ReceiptHandle: aws.String("h2"), Body: aws.String("b2")},
	}}}
	got, err := sqsqueue.NewDeadLetters(m, "url").Receive(t.Context())
	want := []batch.DeadLetter{
		{ID: "1", Handle: "h1", Body: "b1", SentAt: time.Date(2026, 1, 2, 3, 4, 5, 123e6, time.UTC)},
		{ID: "2", Handle: "h2", Body: "b2"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if in := m.asked; *in.QueueUrl != "url" || in.MaxNumberOfMessages != 10 || in.VisibilityTimeout != 120 || in.WaitTimeSeconds != 1 {
		t.Errorf("asked for %+v", in)
	}
	if m.limit <= 0 || m.limit > time.Minute {
		t.Errorf("the call may take %v", m.limit)
	}
	if _, err := sqsqueue.NewDeadLetters(&mailbox{err: errReceive}, "url").Receive(t.Context()); !errors.Is(err, errReceive) {
		t.Errorf("error is %v", err)
	}
}
