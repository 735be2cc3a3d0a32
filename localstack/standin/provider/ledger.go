package provider

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxStatuses bounds the statuses that are remembered of one request.
	maxStatuses = 64

	// maxText bounds a key, custom id or marker that is remembered, in bytes.
	maxText = 128

	// maxModels bounds the models that are counted apart; all further ones are counted as otherModels.
	maxModels   = 1000
	otherModels = "(other)"

	// statusReset and statusGone stand for the status of a call that was sent none.
	statusReset = 0
	statusGone  = 499
)

// Stats is what a stand-in has counted since it began or was reset.
type Stats struct {
	// Calls is the number of calls to the provider's endpoints, whatever their outcome.
	Calls int `json:"calls"`

	// InFlight and MaxInFlight count calls from their arrival until right before the last part of their answer leaves,
	// so that a client which starts a call for each one that ends is never seen above its limit. A call that its client
	// gives up is in flight until the stand-in notices.
	InFlight    int `json:"in_flight"`
	MaxInFlight int `json:"max_in_flight"`

	// EarlyCalls came before the time that the stand-in itself had told for their request by Retry-After.
	EarlyCalls int `json:"early_calls"`

	// Keys is the number of requests that are remembered, Forgotten of those that no longer are.
	Keys      int `json:"keys"`
	Forgotten int `json:"forgotten"`

	// ByStatus counts answers; "0" is a connection that was reset, "499" a client that went away.
	ByStatus map[string]int `json:"by_status"`

	// ByModel counts by the model's whole name.
	ByModel map[string]ModelStats `json:"by_model"`

	// Limits counts by the names of models that have limits.
	Limits map[string]LimitStats `json:"limits,omitempty"`

	// Request is the one that was asked for. One that never came has no calls.
	Request *RequestStats `json:"request,omitempty"`
}

// ModelStats is what was counted of one model.
type ModelStats struct {
	Calls       int `json:"calls"`
	InFlight    int `json:"in_flight"`
	MaxInFlight int `json:"max_in_flight"`
	EarlyCalls  int `json:"early_calls"`
}

// RequestStats is what was counted of one request.
type RequestStats struct {
	// Key is the Idempotency-Key, or "body:" and a digest of path and body.
	Key string `json:"key"`

	// CustomID is the header X-Custom-Id, Marker the body's `user`. Both may be "".
	CustomID string `json:"custom_id"`
	Marker   string `json:"marker"`
	Model    string `json:"model"`

	Calls      int `json:"calls"`
	EarlyCalls int `json:"early_calls"`

	// Authorized reports that the last call carried an Authorization header.
	Authorized bool `json:"authorized"`

	// First and Last are when the first and the last call arrived.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`

	// Statuses are the first 64 outcomes, in the order of their ends, as Stats.ByStatus names them.
	Statuses []int `json:"statuses"`
}

// Calls are the requests that a search found.
type Calls struct {
	// Count is how many match, of which Requests may be only the first.
	Count    int            `json:"count"`
	Requests []RequestStats `json:"requests"`
}

// digest tells requests apart.
type digest [16]byte

func digestOf(parts ...string) digest {
	h := sha256.New()
	for _, part := range parts {
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // A hash takes all.
	}
	return digest(h.Sum(nil)[:16])
}

func (d digest) number() uint64 { return binary.BigEndian.Uint64(d[:8]) }

// normal returns a number as of a standard normal distribution, by the method of Box and Muller.
func (d digest) normal() float64 {
	u := (float64(d.number()>>11) + 1) / (1 << 53) // above 0, and 1 at most
	v := float64(binary.BigEndian.Uint64(d[8:])>>11) / (1 << 53)
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// An arrival is a call as it comes in.
type arrival struct {
	id                    digest
	key, customID, marker string
	model                 string
	authorized            bool
}

// An entry is what is remembered of one request. There may be a million of them.
type entry struct {
	id                    digest
	key, customID, marker string
	model                 string
	first, last           time.Time
	notBefore             time.Time // As told by Retry-After.
	statuses              []uint16
	calls, early          int32
	authorized            bool
}

// A ledger counts calls. It remembers a bounded number of requests, in a ring.
type ledger struct {
	now     func() time.Time
	maxKeys int

	mu        sync.Mutex
	total     ModelStats
	byStatus  map[int]int
	byModel   map[string]*ModelStats
	ring      []entry
	oldest    int // The ring's next place to be overwritten, once it is full.
	index     map[digest]int
	forgotten int
	resets    int
}

func newLedger(now func() time.Time, maxKeys int) *ledger {
	return &ledger{
		now: now, maxKeys: maxKeys,
		byStatus: make(map[int]int), byModel: make(map[string]*ModelStats), index: make(map[digest]int),
	}
}

// A call is a call in flight.
type call struct {
	ledger *ledger
	id     digest
	model  *ModelStats
	resets int
	number int // Of the request's calls, from 1.
	ended  bool
	leave  func() // Gives back the call's place within its model's limit; nil if it has none.
}

// begin counts a call that arrives.
func (l *ledger) begin(a arrival) *call {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entryOf(a, now)
	model := l.modelOf(a.model)
	early := now.Before(e.notBefore)
	e.calls++
	e.last, e.authorized = now, a.authorized
	if early {
		e.early++
	}
	for _, m := range []*ModelStats{&l.total, model} {
		m.Calls++
		m.InFlight++
		m.MaxInFlight = max(m.MaxInFlight, m.InFlight)
		if early {
			m.EarlyCalls++
		}
	}
	return &call{ledger: l, id: a.id, model: model, resets: l.resets, number: int(e.calls)}
}

// entryOf returns the request's entry, in the place of the oldest if it is new and the ring is full.
func (l *ledger) entryOf(a arrival, now time.Time) *entry {
	if place, ok := l.index[a.id]; ok {
		return &l.ring[place]
	}
	fresh := entry{
		id: a.id, key: clip(a.key), customID: clip(a.customID), marker: clip(a.marker), model: clip(a.model), first: now,
	}
	place := len(l.ring)
	if place < l.maxKeys {
		l.ring = append(l.ring, fresh)
	} else {
		place = l.oldest
		l.oldest = (l.oldest + 1) % l.maxKeys
		delete(l.index, l.ring[place].id)
		l.forgotten++
		l.ring[place] = fresh
	}
	l.index[a.id] = place
	return &l.ring[place]
}

func (l *ledger) modelOf(name string) *ModelStats {
	name = clip(name)
	if _, known := l.byModel[name]; !known && len(l.byModel) >= maxModels {
		name = otherModels
	}
	model, ok := l.byModel[name]
	if !ok {
		model = &ModelStats{}
		l.byModel[name] = model
	}
	return model
}

// end counts a call's outcome, once: right before the last part of the answer leaves. notBefore is what the answer tells
// by Retry-After, or zero.
func (c *call) end(status int, notBefore time.Time) {
	if c.leave != nil {
		c.leave()
	}
	l := c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	l.total.InFlight--
	c.model.InFlight--
	if c.resets != l.resets {
		return
	}
	l.byStatus[status]++
	place, ok := l.index[c.id]
	if !ok {
		return
	}
	e := &l.ring[place]
	if len(e.statuses) < maxStatuses {
		e.statuses = append(e.statuses, uint16(status)) //nolint:gosec // A status has three digits.
	}
	if notBefore.After(e.notBefore) {
		e.notBefore = notBefore
	}
}

// reset forgets everything but the calls in flight.
func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resets++
	l.total = ModelStats{InFlight: l.total.InFlight, MaxInFlight: l.total.InFlight}
	for name, model := range l.byModel {
		*model = ModelStats{InFlight: model.InFlight, MaxInFlight: model.InFlight}
		if model.InFlight == 0 {
			delete(l.byModel, name)
		}
	}
	clear(l.byStatus)
	clear(l.index)
	l.ring, l.oldest, l.forgotten = nil, 0, 0
}

// stats returns all counts and, if key is not empty, those of the request by that key or custom id.
func (l *ledger) stats(key string) Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Calls: l.total.Calls, InFlight: l.total.InFlight, MaxInFlight: l.total.MaxInFlight, EarlyCalls: l.total.EarlyCalls,
		Keys: len(l.ring), Forgotten: l.forgotten,
		ByStatus: make(map[string]int, len(l.byStatus)), ByModel: make(map[string]ModelStats, len(l.byModel)),
	}
	for status, n := range l.byStatus {
		s.ByStatus[strconv.Itoa(status)] = n
	}
	for name, model := range l.byModel {
		s.ByModel[name] = *model
	}
	if key != "" {
		s.Request = l.find(key)
	}
	return s
}

func (l *ledger) find(key string) *RequestStats {
	if place, ok := l.index[digestOf("key", key)]; ok {
		found := l.ring[place].stats()
		return &found
	}
	for i := range l.ring {
		if e := &l.ring[i]; e.key == key || e.customID == key {
			found := e.stats()
			return &found
		}
	}
	return &RequestStats{Key: key, Statuses: []int{}}
}

// search returns the requests whose marker contains text, at most limit of them.
func (l *ledger) search(text string, limit int) Calls {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := Calls{Requests: []RequestStats{}}
	for i := range l.ring {
		e := &l.ring[i]
		if !strings.Contains(e.marker, text) {
			continue
		}
		found.Count++
		if len(found.Requests) < limit {
			found.Requests = append(found.Requests, e.stats())
		}
	}
	return found
}

func (e *entry) stats() RequestStats {
	statuses := make([]int, len(e.statuses))
	for i, status := range e.statuses {
		statuses[i] = int(status)
	}
	return RequestStats{
		Key: e.key, CustomID: e.customID, Marker: e.marker, Model: e.model, Calls: int(e.calls), EarlyCalls: int(e.early),
		Authorized: e.authorized, First: e.first, Last: e.last, Statuses: statuses,
	}
}

// clip bounds a text that is kept, and lets go of the body that it may be a part of.
func clip(s string) string {
	return strings.Clone(s[:min(len(s), maxText)])
}
