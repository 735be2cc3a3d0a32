package dynamostore

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/musketry/musketry/internal/state"
)

// The attributes of a worker.
const (
	attrBeatAt = "beat"
	attrEnded  = "ended"
	attrLetGo  = "let_go"
)

const (
	// beatPause is the longest pause before a beat that was refused is sent again,
	// and beatAttempts are more than fit into the seconds that one has: a worker
	// whose beats are all throttled is taken for dead, with its calls, and there
	// are far too few beats to throttle anybody else.
	beatPause    = 200 * time.Millisecond
	beatAttempts = 100
)

// insistent has a beat tried again as often as its caller has time.
func insistent(o *dynamodb.Options) {
	o.Retryer = retry.NewStandard(func(so *retry.StandardOptions) {
		so.MaxAttempts, so.MaxBackoff, so.RateLimiter = beatAttempts, beatPause, ratelimit.None
	})
}

// Beat records w's heartbeat. It is forgotten a day later. What is throttled is
// tried again until ctx ends.
func (s *Store) Beat(ctx context.Context, w state.Worker) error {
	it := workerKey(w.ID).item()
	it.setTime(attrBeatAt, w.BeatAt)
	it.setBool(attrEnded, w.Ended)
	it.setExpiry(w.BeatAt.Add(workerLife))
	if len(w.LetGo) > 0 {
		if err := it.setJSON(attrLetGo, w.LetGo); err != nil {
			return err
		}
	}
	return s.put(ctx, it, condition{}, insistent)
}

// Worker returns a worker's last heartbeat; its BeatAt is zero if there never
// was one.
func (s *Store) Worker(ctx context.Context, id string) (state.Worker, error) {
	it, err := s.get(ctx, workerKey(id))
	if err != nil {
		return state.Worker{}, err
	}
	r := &reader{item: it}
	w := state.Worker{ID: id, BeatAt: r.time(attrBeatAt), Ended: r.bool(attrEnded)}
	r.json(attrLetGo, &w.LetGo)
	return w, r.err
}
