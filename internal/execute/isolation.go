package execute

import "sync"

// starved is how often a message was received that has waited for an event of its
// own for ten minutes: where the queue is never empty hardly one of thousands
// comes by an event.
const starved = 40

// An isolation has the messages that are to be taken up alone. What came with the
// event is, before the worker receives anything else. What comes later has to wait
// for an invocation of its own; if it has for long, it is taken up when the worker
// has nothing else, which then receives no more.
type isolation struct {
	mu      sync.Mutex
	waiting []*job
	streams bool // this worker receives messages itself
	spent   bool // one came too late
	held    bool // one that came too late is to be taken up all the same
	asked   sync.WaitGroup
}

// asks returns what is called once it is known whether j may run beside others, if
// that is a question. It may be called again.
func (s *isolation) asks(j *job) (known func()) {
	if j.own || j.isolated || j.delivery.Receives < 2 {
		return func() {}
	}
	s.asked.Add(1)
	return sync.OnceFunc(s.asked.Done)
}

// await waits until that is known of all that came with the event.
func (s *isolation) await() { s.asked.Wait() }

// may reports whether j can be taken up alone here.
func (s *isolation) may(j *job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	may := !j.own && !s.streams
	if !may && !s.held && j.delivery.Receives >= starved {
		may, s.held = true, true
	}
	s.spent = s.spent || !may
	return may
}

// add takes in a job that waits to be taken up alone.
func (s *isolation) add(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, j)
}

// take returns what is to be taken up alone.
func (s *isolation) take() []*job {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := s.waiting
	s.waiting = nil
	return jobs
}

// stream says that from now on this worker receives messages itself, unless some
// are to be taken up alone before that. It reports whether it does.
func (s *isolation) stream() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams = len(s.waiting) == 0
	return s.streams
}

// isSpent reports whether a message came that waits for another invocation.
func (s *isolation) isSpent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spent
}

// isHeld reports whether a message waits for the worker to have nothing else.
func (s *isolation) isHeld() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}
