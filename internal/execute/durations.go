package execute

import (
	"slices"
	"sync"
	"time"
)

const (
	// lastAnswers is of how many of a model's answers the longest counts, and
	// fewAnswers below how many none does.
	lastAnswers, fewAnswers = 100, 20
	// fitTimes is how much longer than that a call may take.
	fitTimes = 3
	// knownModels bounds the models, and longestModel their names in bytes: tenants
	// write them.
	knownModels, longestModel = 100, 256
)

// durations are how long a process's answers took of late, by model.
type durations struct {
	mu     sync.Mutex
	models map[string]*lately
}

// lately are the last answers of a model.
type lately struct {
	took []time.Duration
	next int // the oldest, once there are lastAnswers
}

func newDurations() *durations { return &durations{models: map[string]*lately{}} }

// add says that an answer of model took so long.
func (d *durations) add(model string, took time.Duration) {
	if len(model) > longestModel {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m, ok := d.models[model]
	if !ok {
		if len(d.models) >= knownModels {
			clear(d.models)
		}
		m = &lately{}
		d.models[model] = m
	}
	if len(m.took) < lastAnswers {
		m.took = append(m.took, took)
		return
	}
	m.took[m.next] = took
	m.next = (m.next + 1) % lastAnswers
}

// of returns how long a call of model may take, limit at most, and limit if not
// enough is known.
func (d *durations) of(model string, limit time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m, ok := d.models[model]; ok {
		return m.bound(limit)
	}
	return limit
}

// least returns how long a call may take of the model that is the fastest.
func (d *durations) least(limit time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	least := limit
	for _, m := range d.models {
		least = min(least, m.bound(limit))
	}
	return least
}

func (m *lately) bound(limit time.Duration) time.Duration {
	if len(m.took) < fewAnswers {
		return limit
	}
	return min(fitTimes*slices.Max(m.took), limit)
}
