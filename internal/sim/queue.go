package sim

import (
	"container/heap"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// maxVisibility is the longest that a message is hidden from its receive on
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
const maxVisibility = 12 * time.Hour

var errVisibility = errors.New("sim: a message is hidden for 0 to 12 hours")

// A queue is a standard queue of SQS: it has no order, may hand a message out
// twice, and hands out nothing while too many are in flight. Its caller has a
// turn. What becomes visible is told to the source.
type queue struct {
	world      *world
	visibility time.Duration // of what is received, at first
	inFlight   int           // the most messages that are received and not yet visible
	receives   int           // after so many a message goes to the dead letters

	messages map[int]*message
	visible  picks   // those to be had, in the order in which they are
	hidden   showing // the others, the first to show first
	flying   int     // received and hidden
	sent     int
	dead     []*letter
	shunned  int // receives that brought nothing since too many were in flight
}

// A message is one in the queue.
type message struct {
	id       int
	body     batch.Message
	receives int
	received time.Duration // its last receive
	shows    time.Duration // when it is visible
	flies    bool          // received and hidden
	pick     uint64        // its place among the visible ones
	index    int           // in visible or hidden
	isHidden bool
	sentAt   time.Duration
}

// delivery returns m as who received it gets it.
func (m *message) delivery() batch.Delivery {
	body, _ := m.body.Encode() // a message of ours always encodes
	return batch.Delivery{MessageID: m.handle(), Handle: m.handle(), Receives: m.receives, Body: body}
}

func (m *message) handle() string { return strconv.Itoa(m.id) + "." + strconv.Itoa(m.receives) }

func newQueue(w *world) *queue {
	return &queue{
		world: w, visibility: 16 * time.Minute, inFlight: w.plan.inFlight, receives: w.plan.receives,
		messages: map[int]*message{},
	}
}

// send puts m into the queue, as SQS does it: once, or twice, or late.
func (q *queue) send(m batch.Message) {
	w := q.world
	d := w.sched.dice("send " + w.nick(m.Batch) + "/" + strconv.Itoa(m.Line))
	w.sched.passed("send " + w.nick(m.Batch) + "/" + strconv.Itoa(m.Line))
	calm, rates := w.calm(), w.plan.rates
	copies := 1
	switch {
	case w.plan.loses != nil && w.plan.loses(m):
		copies = 0
	case calm:
	case d.chance(rates[messageLost]):
		w.hit(messageLost)
		copies = 0
	case d.chance(rates[messageTwice]):
		w.hit(messageTwice)
		copies = 2
	}
	for range copies {
		late := d.between(0, 200*time.Millisecond)
		if !calm && d.chance(rates[messageLate]) {
			w.hit(messageLate)
			late = d.between(time.Second, 15*time.Minute)
		}
		q.sent++
		now := w.sched.now()
		q.put(&message{id: q.sent, body: m, shows: now + late, sentAt: now})
	}
}

// put places a message among the hidden ones until it shows.
func (q *queue) put(m *message) {
	q.messages[m.id] = m
	m.isHidden = true
	heap.Push(&q.hidden, m)
	q.world.source.poke(m.shows)
}

// show makes visible what is due.
func (q *queue) show() {
	now := q.world.sched.now()
	for len(q.hidden) > 0 && q.hidden[0].shows <= now {
		m, _ := heap.Pop(&q.hidden).(*message)
		m.isHidden = false
		if m.flies {
			m.flies = false
			q.flying--
		}
		m.pick = roll(q.world.seed, "pick", m.handle()).next()
		heap.Push(&q.visible, m)
	}
}

// receive hands out at most n messages, hidden for visibility.
func (q *queue) receive(n int, visibility time.Duration) []*message {
	w := q.world
	q.show()
	var got []*message
	for len(got) < n && len(q.visible) > 0 {
		if q.flying >= q.inFlight {
			q.shunned++
			break
		}
		m, _ := heap.Pop(&q.visible).(*message)
		if m.receives >= q.receives {
			q.bury(m)
			continue
		}
		m.receives++
		m.received, m.shows, m.flies = w.sched.now(), w.sched.now()+visibility, true
		q.flying++
		if d := roll(w.seed, "shown", m.handle()); !w.calm() && d.chance(w.plan.rates[messageShown]) {
			w.hit(messageShown)
			m.shows = w.sched.now() + d.between(0, time.Minute)
		}
		m.isHidden = true
		heap.Push(&q.hidden, m)
		w.source.poke(m.shows)
		got = append(got, m)
	}
	return got
}

// held returns the message that handle still names, if it is hidden.
func (q *queue) held(handle string) (*message, bool) {
	q.show()
	id, _, _ := strings.Cut(handle, ".")
	n, _ := strconv.Atoi(id)
	m, ok := q.messages[n]
	return m, ok && m.handle() == handle
}

// changeVisibility shows messages after d, if they are hidden still.
func (q *queue) changeVisibility(handles []string, d time.Duration) error {
	if d < 0 || d > maxVisibility {
		return errVisibility
	}
	now := q.world.sched.now()
	for _, h := range handles {
		if m, ok := q.held(h); ok && m.isHidden && now+d-m.received > maxVisibility {
			return errVisibility
		}
	}
	for _, h := range handles {
		if m, ok := q.held(h); ok && m.isHidden {
			m.shows = now + d
			heap.Fix(&q.hidden, m.index)
			q.world.source.poke(m.shows)
		}
	}
	return nil
}

// remove deletes a message that p received.
func (q *queue) remove(p *process, handle string) {
	m, ok := q.held(handle)
	if !ok {
		return
	}
	q.world.check.removed(p, m)
	if m.isHidden {
		heap.Remove(&q.hidden, m.index)
	} else {
		heap.Remove(&q.visible, m.index)
	}
	if m.flies {
		q.flying--
	}
	delete(q.messages, m.id)
}

// next returns when there will be a message to be had, and false if never.
func (q *queue) next() (time.Duration, bool) {
	q.show()
	switch {
	case len(q.visible) > 0:
		return q.world.sched.now(), true
	case len(q.hidden) > 0:
		return q.hidden[0].shows, true
	}
	return 0, false
}

// untouched reports whether a message was handed out whose worker has not hidden
// it for its own, short time yet: were it to die now, the queue would show the
// message after its 16 minutes, and nobody can know sooner.
func (q *queue) untouched() bool {
	for _, m := range q.messages {
		if m.flies && m.shows-m.received == q.visibility {
			return true
		}
	}
	return false
}

// picks is a heap of visible messages, in no order that anyone could know.
type picks []*message

func (h picks) Len() int           { return len(h) }
func (h picks) Less(i, j int) bool { return h[i].pick < h[j].pick }
func (h picks) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *picks) Push(x any)        { *h = append(*h, placed(x, len(*h))) }
func (h *picks) Pop() any          { return last((*[]*message)(h)) }

// showing is a heap of hidden messages, the first to show first.
type showing []*message

func (h showing) Len() int { return len(h) }
func (h showing) Less(i, j int) bool {
	return h[i].shows < h[j].shows || h[i].shows == h[j].shows && h[i].id < h[j].id
}
func (h showing) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *showing) Push(x any)   { *h = append(*h, placed(x, len(*h))) }
func (h *showing) Pop() any     { return last((*[]*message)(h)) }

func placed(x any, at int) *message {
	m, _ := x.(*message)
	m.index = at
	return m
}

func last(h *[]*message) *message {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return m
}
