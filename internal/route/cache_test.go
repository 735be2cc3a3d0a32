package route_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/route"
)

// source is what is stored, or that it cannot be read.
type source struct {
	reads  atomic.Int64
	lasts  time.Duration // of a read
	models []route.Model
	err    error
}

func (s *source) Models(ctx context.Context) ([]route.Model, error) {
	s.reads.Add(1)
	select {
	case <-time.After(s.lasts):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.models, s.err
}

func newCache(s *source, defaults ...route.Model) (*route.Cache, *bytes.Buffer) {
	var log bytes.Buffer
	return route.NewCache(s, time.Now, slog.New(slog.NewTextHandler(&log, nil)), defaults...), &log
}

// patterns returns the patterns of the table now.
func patterns(t *testing.T, c *route.Cache) []string {
	t.Helper()
	table, err := c.Table(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range table.Models() {
		all = append(all, m.Pattern)
	}
	return all
}

func TestCacheIsAtMost5SecondsOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{models: []route.Model{openai("a")}}
		c, _ := newCache(s, openai("*"))
		for range 3 {
			if diff := cmp.Diff([]string{"a", "*"}, patterns(t, c)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		s.models = []route.Model{openai("b"), openai("*")}
		time.Sleep(5*time.Second - 1)
		if diff := cmp.Diff([]string{"a", "*"}, patterns(t, c)); diff != "" {
			t.Errorf("before 5 s (-want +got):\n%s", diff)
		}
		time.Sleep(time.Nanosecond)
		if diff := cmp.Diff([]string{"b", "*"}, patterns(t, c)); diff != "" {
			t.Errorf("after 5 s (-want +got):\n%s", diff)
		}
		if n := s.reads.Load(); n != 2 {
			t.Errorf("%d reads, want 2", n)
		}
	})
}

func TestCacheReadsOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{models: []route.Model{openai("a")}, lasts: time.Second}
		c, _ := newCache(s)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { patterns(t, c) })
		}
		wg.Wait()
		if n := s.reads.Load(); n != 1 {
			t.Errorf("%d reads, want 1", n)
		}
	})
}

// TestCacheKeepsTheLastTable while the models cannot be read, and says so once.
func TestCacheKeepsTheLastTable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no answer")
		s := &source{models: []route.Model{openai("a")}, err: broken}
		c, log := newCache(s)
		for range 3 {
			if _, err := c.Table(t.Context()); !errors.Is(err, broken) {
				t.Errorf("error %v before a table was ever read", err)
			}
		}
		if n := s.reads.Load(); n != 1 {
			t.Errorf("%d reads at once of what fails, want 1", n)
		}
		time.Sleep(5 * time.Second)
		s.err = nil
		patterns(t, c)
		s.err = broken
		for range 10 {
			time.Sleep(5 * time.Second)
			if diff := cmp.Diff([]string{"a"}, patterns(t, c)); diff != "" {
				t.Errorf("while reads fail (-want +got):\n%s", diff)
			}
		}
		s.err, s.lasts = nil, time.Hour // and while they hang
		start := time.Now()
		time.Sleep(5 * time.Second)
		patterns(t, c)
		if took := time.Since(start); took != 8*time.Second {
			t.Errorf("a read that hangs took %v, want 3 s", took-5*time.Second)
		}
		if n := strings.Count(log.String(), "cannot be read"); n != 2 {
			t.Errorf("the log says %d times that models cannot be read, want 2:\n%s", n, log)
		}
	})
}

// TestCacheIsNotMisledByItsCaller, who gave up during a read.
func TestCacheIsNotMisledByItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{models: []route.Model{openai("a")}, lasts: time.Second}
		c, log := newCache(s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Table(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the caller's own", err)
		}
		patterns(t, c)
		if log.Len() > 0 {
			t.Errorf("the log has %q", log)
		}
	})
}

// TestCacheKeepsWhatWasValid of a model that is not any more; the others change.
func TestCacheKeepsWhatWasValid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, bad, added := openai("gpt-4o"), route.Model{Pattern: "gpt-4o", Revision: 2}, openai("o3")
		good.Revision = 1
		s := &source{models: []route.Model{good}}
		c, log := newCache(s)
		patterns(t, c)
		for range 3 {
			s.models = []route.Model{bad, added}
			time.Sleep(5 * time.Second)
			table, err := c.Table(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]route.Model{good.WithDefaults(), added.WithDefaults()}, table.Models()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		if n := strings.Count(log.String(), "invalid"); n != 1 {
			t.Errorf("the log says so %d times:\n%s", n, log)
		}
		first, _ := newCache(&source{models: []route.Model{bad, openai("*")}})
		table, err := first.Table(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := table.Match("gpt-4o"); !ok || len(m.Routes) != 0 {
			t.Errorf("what was never valid goes by %+v", m)
		}
	})
}
