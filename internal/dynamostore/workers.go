package dynamostore

import (
	"context"

	"github.com/musketry/musketry/internal/state"
)

// The attributes of a worker.
const (
	attrBeatAt = "beat"
	attrEnded  = "ended"
	attrLetGo  = "let_go"
)

// Beat records w's heartbeat. It is forgotten a day later.
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
	return s.put(ctx, it, condition{})
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
