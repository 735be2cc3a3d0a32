package sqsqueue_test

import (
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

func TestReceiveMessages(t *testing.T) {
	t.Parallel()
	m := &mailbox{out: &sqs.ReceiveMessageOutput{Messages: []types.Message{
		{
			MessageId: aws.String("1"), ReceiptHandle: aws.String("h1"), Body: aws.String("b1"),
			Attributes: map[string]string{"SentTimestamp": "1767323045123", "ApproximateReceiveCount": "7"},
		},
		{MessageId: aws.String("2"), ReceiptHandle: aws.String("h2"), Body: aws.String("b2")},
	}}}
	q := sqsqueue.New(m, sqsqueue.Config{URL: "url"})
	got, err := q.ReceiveMessages(t.Context(), 4, 45*time.Second, time.Second)
	want := []batch.Delivery{
		{MessageID: "1", Handle: "h1", Body: "b1", Receives: 7, SentAt: time.Date(2026, 1, 2, 3, 4, 5, 123e6, time.UTC)},
		{MessageID: "2", Handle: "h2", Body: "b2", Receives: 2}, // it is not known to be the first time
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if in := m.asked; *in.QueueUrl != "url" || in.MaxNumberOfMessages != 4 || in.VisibilityTimeout != 45 || in.WaitTimeSeconds != 1 {
		t.Errorf("asked for %+v", in)
	}
	m.err = errReceive
	if _, err := q.ReceiveMessages(t.Context(), 4, time.Minute, 0); !errors.Is(err, errReceive) {
		t.Errorf("error is %v", err)
	}
}

// TestReceiveMessagesKeepsToSQS asks for what SQS refuses.
func TestReceiveMessagesKeepsToSQS(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		n                           int
		visibility, wait            time.Duration
		want, wantHidden, wantWaits int32
	}{
		{n: 0, visibility: -time.Second, wait: -time.Second, want: 1},
		{n: 11, visibility: 13 * time.Hour, wait: time.Minute, want: 10, wantHidden: 43_200, wantWaits: 20},
		{n: 10, visibility: 1500 * time.Millisecond, wait: 1500 * time.Millisecond, want: 10, wantHidden: 2, wantWaits: 2},
	} {
		m := &mailbox{out: &sqs.ReceiveMessageOutput{}}
		got, err := sqsqueue.New(m, sqsqueue.Config{URL: "url"}).ReceiveMessages(t.Context(), tc.n, tc.visibility, tc.wait)
		if in := m.asked; err != nil || len(got) > 0 || in.MaxNumberOfMessages != tc.want ||
			in.VisibilityTimeout != tc.wantHidden || in.WaitTimeSeconds != tc.wantWaits {
			t.Errorf("%+v: asked for %d, hidden for %d, waiting for %d; %v", tc, in.MaxNumberOfMessages, in.VisibilityTimeout, in.WaitTimeSeconds, err)
		}
	}
}
