package sqsqueue_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/sqsqueue"
)

var errCall = errors.New("no connection")

// A cloud holds a call to SQS's limits, and answers its entries as verdict
// says: "" is success, "-" no answer at all, "!" before a code the sender's
// fault. The number is how often the entry was seen.
type cloud struct {
	sqsqueue.API

	t       *testing.T
	verdict func(content string, seen int) string
	fail    error                                   // of the whole call
	dead    func(contents []string, calls int) bool // whether a call gets no answer; nil: never

	mu      sync.Mutex
	calls   int
	flying  int
	most    int
	seen    map[string]int
	done    []string
	groups  map[string]int
	seconds []int32
}

func newCloud(t *testing.T, verdict func(content string, seen int) string) *cloud {
	t.Helper()
	return &cloud{t: t, verdict: verdict, seen: map[string]int{}, groups: map[string]int{}}
}

func (c *cloud) call(ctx context.Context, ids, contents []string) (good []string, bad []types.BatchResultErrorEntry, err error) {
	c.mu.Lock()
	c.calls++
	c.flying++
	c.most = max(c.most, c.flying)
	dead := c.dead != nil && c.dead(contents, c.calls)
	c.mu.Unlock()
	if dead {
		<-ctx.Done()
		return nil, nil, errCall // the SDK's error need not be the context's
	}
	time.Sleep(time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying--
	if len(ids) < 1 || len(ids) > 10 || len(strings.Join(contents, "")) > 256<<10 {
		c.t.Errorf("a call of %d entries, %d bytes", len(ids), len(strings.Join(contents, "")))
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(ids))); len(unique) != len(ids) {
		c.t.Errorf("ids are not unique: %v", ids)
	}
	if c.fail != nil {
		return nil, nil, c.fail
	}
	for i, content := range contents {
		c.seen[content]++
		verdict := ""
		if c.verdict != nil {
			verdict = c.verdict(content, c.seen[content])
		}
		code, ours := strings.CutPrefix(verdict, "!")
		switch {
		case verdict == "":
			good = append(good, ids[i])
			c.done = append(c.done, content)
		case verdict != "-":
			bad = append(bad, types.BatchResultErrorEntry{Id: &ids[i], Code: &code, SenderFault: ours})
		}
	}
	return good, bad, nil
}

func (c *cloud) SendMessageBatch(
	ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options),
) (*sqs.SendMessageBatchOutput, error) {
	var ids, contents []string
	c.mu.Lock()
	for _, e := range in.Entries {
		ids, contents = append(ids, *e.Id), append(contents, *e.MessageBody)
		c.groups[aws.ToString(e.MessageGroupId)]++
	}
	c.mu.Unlock()
	good, bad, err := c.call(ctx, ids, contents)
	out := &sqs.SendMessageBatchOutput{Failed: bad}
	for _, id := range good {
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: &id})
	}
	return out, err
}

func (c *cloud) ChangeMessageVisibilityBatch(
	ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options),
) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	var ids, contents []string
	c.mu.Lock()
	for _, e := range in.Entries {
		ids, contents = append(ids, *e.Id), append(contents, *e.ReceiptHandle)
		c.seconds = append(c.seconds, e.VisibilityTimeout)
	}
	c.mu.Unlock()
	good, bad, err := c.call(ctx, ids, contents)
	out := &sqs.ChangeMessageVisibilityBatchOutput{Failed: bad}
	for _, id := range good {
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: &id})
	}
	return out, err
}

func (c *cloud) DeleteMessageBatch(
	ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options),
) (*sqs.DeleteMessageBatchOutput, error) {
	var ids, contents []string
	for _, e := range in.Entries {
		ids, contents = append(ids, *e.Id), append(contents, *e.ReceiptHandle)
	}
	good, bad, err := c.call(ctx, ids, contents)
	out := &sqs.DeleteMessageBatchOutput{Failed: bad}
	for _, id := range good {
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: &id})
	}
	return out, err
}

func messages(n int) []batch.Message {
	ms := make([]batch.Message, n)
	for i := range ms {
		ms[i] = batch.Message{Tenant: "acme", Batch: "batch_1", Line: i + 1, Offset: int64(i), Length: 1}
	}
	return ms
}

func handles(n int) []string {
	hs := make([]string, n)
	for i := range hs {
		hs[i] = fmt.Sprint("handle-", i)
	}
	return hs
}

// lowest takes the least jitter, so that waits have their full length.
func lowest() float64 { return 0 }

func TestSendInTens(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 10, 11, 195} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t, nil)
				if err := sqsqueue.New(c, sqsqueue.Config{URL: "u"}).Send(t.Context(), messages(n)); err != nil {
					t.Fatal(err)
				}
				var lines []int
				for _, body := range c.done {
					m, err := batch.DecodeMessage(body)
					if err != nil {
						t.Fatal(err)
					}
					lines = append(lines, m.Line)
				}
				slices.Sort(lines)
				if lines = slices.Compact(lines); len(lines) != n || len(c.done) != n || c.calls != (n+9)/10 {
					t.Errorf("%d lines in %d messages and %d calls", len(lines), len(c.done), c.calls)
				}
				if c.most > 8 || c.groups["acme"] > 0 {
					t.Errorf("%d calls at once, groups %v", c.most, c.groups)
				}
			})
		})
	}
}

func TestSendByBytesAndGroup(t *testing.T) {
	t.Parallel()
	ms := messages(20)
	for i := range ms {
		ms[i].Tenant = strings.Repeat("t", 40<<10) // no tenant is so long; the limit holds all the same
	}
	c := newCloud(t, nil)
	if err := sqsqueue.New(c, sqsqueue.Config{URL: "u", Groups: true}).Send(t.Context(), ms); err != nil {
		t.Fatal(err)
	}
	// The group's name counts too, so three messages of 80 KiB go together.
	if c.calls != 7 || c.groups[ms[0].Tenant] != 20 {
		t.Errorf("%d calls, %d in the group", c.calls, c.groups[ms[0].Tenant])
	}
}

func TestEntriesThatFail(t *testing.T) {
	t.Parallel()
	odd := func(content string) bool {
		return strings.HasSuffix(content, "3") || strings.Contains(content, `"l":3,`)
	}
	type do func(ctx context.Context, q *sqsqueue.Queue) error
	send := func(ctx context.Context, q *sqsqueue.Queue) error { return q.Send(ctx, messages(5)) }
	changeVisibility := func(ctx context.Context, q *sqsqueue.Queue) error {
		return q.ChangeVisibility(ctx, handles(5), time.Minute)
	}
	remove := func(ctx context.Context, q *sqsqueue.Queue) error { return q.Delete(ctx, handles(5)) }
	for name, tt := range map[string]struct {
		verdict func(seen int) string // of one entry
		do      []do
		calls   int
		took    time.Duration
		refused bool
	}{
		"at first": {
			func(seen int) string { return map[int]string{1: "InternalError", 2: "ServiceUnavailable"}[seen] },
			[]do{send, changeVisibility, remove},
			3, 300 * time.Millisecond, false,
		},
		"by silence": {
			func(seen int) string { return map[int]string{1: "-"}[seen] },
			[]do{send, changeVisibility, remove},
			2, 100 * time.Millisecond, false,
		},
		"for ever": {
			func(int) string { return "InternalError" },
			[]do{send, changeVisibility, remove},
			6, 3100 * time.Millisecond, true,
		},
		"by our fault":          {func(int) string { return "!InvalidMessageContents" }, []do{send, changeVisibility, remove}, 1, 0, true},
		"gone":                  {func(int) string { return "!ReceiptHandleIsInvalid" }, []do{changeVisibility, remove}, 1, 0, false},
		"gone, on the wire":     {func(int) string { return "!AWS.SimpleQueueService.MessageNotInflight" }, []do{changeVisibility}, 1, 0, false},
		"expired":               {func(int) string { return "!InvalidParameterValue" }, []do{changeVisibility, remove}, 1, 0, false},
		"deleted, on an engine": {func(int) string { return "!InvalidParameterValueException" }, []do{changeVisibility, remove}, 1, 0, false},
		"another exception":     {func(int) string { return "!InvalidBatchEntryIdException" }, []do{changeVisibility, remove}, 1, 0, true},
		"sent, but not as such": {func(int) string { return "!ReceiptHandleIsInvalid" }, []do{send}, 1, 0, true},
	} {
		for i, do := range tt.do {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := newCloud(t, func(content string, seen int) string {
						if odd(content) {
							return tt.verdict(seen)
						}
						return ""
					})
					start := time.Now()
					err := do(t.Context(), sqsqueue.New(c, sqsqueue.Config{URL: "u", Random: lowest}))
					if errors.Is(err, sqsqueue.ErrRefused) != tt.refused || (err != nil) != tt.refused {
						t.Errorf("error is %v", err)
					}
					if took := time.Since(start).Truncate(10 * time.Millisecond); c.calls != tt.calls || took != tt.took {
						t.Errorf("%d calls in %v", c.calls, took)
					}
					for content, n := range c.seen {
						if !odd(content) && n != 1 {
							t.Errorf("%s was sent %d times", content, n)
						}
					}
				})
			})
		}
	}
}

func TestCallsThatFail(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	c.fail = errCall
	q := sqsqueue.New(c, sqsqueue.Config{URL: "u"})
	for _, err := range []error{
		q.Send(t.Context(), messages(1)), q.ChangeVisibility(t.Context(), handles(1), 0), q.Delete(t.Context(), handles(1)),
	} {
		if !errors.Is(err, errCall) {
			t.Errorf("error is %v", err)
		}
	}
}

// TestDeadConnections has the calls of one chunk of three go unanswered: the
// others' are over within moments, its own come to an end, and only its entries
// are said to have failed.
func TestDeadConnections(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(ctx context.Context, q *sqsqueue.Queue) error{
		"send": func(ctx context.Context, q *sqsqueue.Queue) error { return q.Send(ctx, messages(25)) },
		"visibility": func(ctx context.Context, q *sqsqueue.Queue) error {
			return q.ChangeVisibility(ctx, handles(25), time.Minute)
		},
		"delete": func(ctx context.Context, q *sqsqueue.Queue) error { return q.Delete(ctx, handles(25)) },
	} {
		for _, heals := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " heals ", heals), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := newCloud(t, nil)
					c.dead = func(contents []string, calls int) bool {
						ours := strings.Contains(contents[0], `"l":11,`) || strings.HasSuffix(contents[0], "-10")
						return ours && (!heals || calls <= 3)
					}
					start := time.Now()
					time.AfterFunc(10*time.Millisecond, func() {
						c.mu.Lock()
						defer c.mu.Unlock()
						if len(c.done) != 15 {
							t.Errorf("%d entries are done beside a dead connection, want 15", len(c.done))
						}
					})
					err := do(t.Context(), sqsqueue.New(c, sqsqueue.Config{URL: "u", Random: lowest}))
					took := time.Since(start)
					if heals {
						if err != nil || took > 6*time.Second || len(c.done) != 25 {
							t.Errorf("%d entries done and %v after %v", len(c.done), err, took)
						}
						return
					}
					if took > 35*time.Second {
						t.Errorf("it took %v", took)
					}
					wantFailed(t, err, 25, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
				})
			})
		}
	}
}

// TestEachEntryFailsByItself has one entry refused for good, one that never
// succeeds and one that does so late.
func TestEachEntryFailsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, func(content string, seen int) string {
			switch {
			case content == "handle-1":
				return "!InvalidIdFormat"
			case content == "handle-4", content == "handle-12" && seen < 3:
				return "InternalError"
			}
			return ""
		})
		err := sqsqueue.New(c, sqsqueue.Config{URL: "u", Random: lowest}).Delete(t.Context(), handles(13))
		wantFailed(t, err, 13, 1, 4)
		if !errors.Is(err, sqsqueue.ErrRefused) || len(c.done) != 11 {
			t.Errorf("%d entries done, and %v", len(c.done), err)
		}
		if c.seen["handle-1"] != 1 || c.seen["handle-4"] != 6 {
			t.Errorf("tried: %v", c.seen)
		}
	})
}

// wantFailed checks that err names just these entries of all.
func wantFailed(t *testing.T, err error, all int, want ...int) {
	t.Helper()
	failed, ok := errors.AsType[*sqsqueue.EntriesError](err)
	if !ok {
		t.Fatalf("error is %v", err)
	}
	if got := slices.Sorted(maps.Keys(failed.Failed)); !slices.Equal(got, want) || failed.All != all {
		t.Errorf("%v of %d failed, want %v: %v", got, failed.All, want, err)
	}
}

func TestPausesEndWithTheirContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, func(string, int) string { return "InternalError" })
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := sqsqueue.New(c, sqsqueue.Config{URL: "u", Random: lowest}).Delete(ctx, handles(1))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 250*time.Millisecond {
			t.Errorf("error after %v is %v", time.Since(start), err)
		}
	})
}

func TestVisibilitySeconds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		d    time.Duration
		want int32
	}{
		{-time.Second, 0},
		{0, 0},
		{1, 1},
		{time.Second, 1},
		{1500 * time.Millisecond, 2},
		{12 * time.Hour, 43_200},
		{13 * time.Hour, 43_200},
	} {
		c := newCloud(t, nil)
		if err := sqsqueue.New(c, sqsqueue.Config{URL: "u"}).ChangeVisibility(t.Context(), handles(1), tt.d); err != nil {
			t.Fatal(err)
		}
		if c.seconds[0] != tt.want {
			t.Errorf("%v is %d s, want %d", tt.d, c.seconds[0], tt.want)
		}
	}
}
