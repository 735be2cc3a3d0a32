package route

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// fresh is how long a table is used before the models are read again, so that a
	// change takes effect without a deploy.
	fresh = 5 * time.Second
	// readLimit bounds one read, its repeats included: calls wait for it.
	readLimit = 3 * time.Second
)

// A Source has the models as they are stored. One that cannot be read may come
// as a pattern without routes.
type Source interface {
	Models(ctx context.Context) ([]Model, error)
}

// A Cache has the table of a deployment's models, which it reads at most every 5
// seconds, and then once for all who ask. It may be used by many goroutines at once.
type Cache struct {
	source   Source
	defaults []Model
	clock    func() time.Time
	log      *slog.Logger

	turn chan struct{} // holds one token: who takes it may read the source

	mu     sync.Mutex
	table  Table
	known  bool      // table was read once
	next   time.Time // when the models are to be read again
	failed error     // of the last read
	told   map[string]int64
}

// NewCache returns the cache of source's models. Behind them come defaults: the
// models that nobody stored, such as the default route.
func NewCache(source Source, clock func() time.Time, log *slog.Logger, defaults ...Model) *Cache {
	return &Cache{
		source: source, defaults: defaults, clock: clock, log: log,
		turn: make(chan struct{}, 1), told: map[string]int64{},
	}
}

// Table returns the models as they were at most 5 seconds ago. While they cannot
// be read it returns those that were read last, and an error only if none ever
// were. A model that has become invalid is kept as it was; the log says so, once.
func (c *Cache) Table(ctx context.Context) (Table, error) {
	if table, err, ok := c.cached(); ok {
		return table, err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return Table{}, context.Cause(ctx)
	}
	if table, err, ok := c.cached(); ok { // another read them while this one waited
		return table, err
	}
	models, err := c.read(ctx)
	if err != nil && ctx.Err() != nil { // says nothing of the source
		return Table{}, context.Cause(ctx)
	}
	return c.keep(models, err)
}

// cached returns what is known without a read, if that is fit for use.
func (c *Cache) cached() (table Table, err error, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.clock().Before(c.next):
		return Table{}, nil, false
	case c.known:
		return c.table, nil, true
	}
	return Table{}, c.failed, true
}

func (c *Cache) read(ctx context.Context) ([]Model, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	models, err := c.source.Models(ctx)
	if err != nil {
		return nil, fmt.Errorf("route: read models: %w", err)
	}
	return models, nil
}

// keep remembers what a read brought and returns what to use.
func (c *Cache) keep(models []Model, err error) (Table, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = c.clock().Add(fresh)
	switch {
	case err != nil && c.failed == nil:
		c.log.Error("models cannot be read; those that were read last stay in use", slog.Any("error", err))
	case err == nil && c.failed != nil:
		c.log.Info("models can be read again")
	}
	if c.failed = err; err == nil {
		c.table, c.known = NewTable(slices.Concat(c.usable(models), c.defaults)...), true
	}
	if !c.known {
		return Table{}, err
	}
	return c.table, nil
}

// usable returns models with each that is invalid as it was when it last was valid.
func (c *Cache) usable(models []Model) []Model {
	models = slices.Clone(models[:min(len(models), MaxModels)])
	for i, m := range models {
		err := m.Validate()
		if err == nil {
			delete(c.told, m.Pattern)
			continue
		}
		if told, ok := c.told[m.Pattern]; !ok || told != m.Revision {
			c.told[m.Pattern] = m.Revision
			c.log.Error("a model is invalid: write it again with musketry admin models set",
				slog.String("model", m.Pattern), slog.Any("error", err))
		}
		if was, ok := c.table.stored(m.Pattern); ok {
			models[i] = was
		}
	}
	return models
}
