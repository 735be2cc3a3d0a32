package execute

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// requeueWait is how long a message waits for others to be requeued with.
const requeueWait = 100 * time.Millisecond

// A requeuer shows messages again, in calls for many whose times are the same to
// the second: a route that pauses sends thousands back.
type requeuer struct {
	kit

	visibility *extender
	calls      sync.WaitGroup

	mu      sync.Mutex
	waiting []requeued // with a timer that runs
}

// A requeued is a message on its way back.
type requeued struct {
	handle string
	at     time.Time // when it is to be shown
}

// requeue shows j's message again after d, which is extended no more.
func (r *requeuer) requeue(j *job, d time.Duration) {
	r.visibility.drop(j)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, requeued{j.delivery.Handle, r.clock().Add(d)})
	if len(r.waiting) == 1 {
		r.calls.Add(1)
		time.AfterFunc(requeueWait, func() {
			defer r.calls.Done()
			r.flush()
		})
	}
}

// flush makes the calls for what waits. What fails shows by itself within
// extendFor.
func (r *requeuer) flush() {
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	bySecond, now := map[int][]requeued{}, r.clock()
	for _, w := range waiting {
		second := int((max(w.at.Sub(now), 0) + time.Second - 1) / time.Second)
		bySecond[second] = append(bySecond[second], w)
	}
	each(slices.Sorted(maps.Keys(bySecond)), func(_, second int) {
		group := bySecond[second]
		last := slices.MaxFunc(group, func(a, b requeued) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
		handles := make([]string, len(group))
		for i, w := range group {
			handles[i] = w.handle
		}
		if err := r.visibility.changeVisibility(max(last.at.Sub(now), 0), handles...); err != nil {
			r.log.Warn("cannot hide messages", errAttr(err))
		}
	})
}

// drain waits until all are on their way.
func (r *requeuer) drain() { r.calls.Wait() }
