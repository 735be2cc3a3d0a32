package execute

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPlaces takes places and frees them: there is room for as many more as calls
// ended of late, and no more than a fifth.
func TestPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(time.Now, 20)
		want := func(room int, full, empty bool) {
			t.Helper()
			if p.room() != room || p.full() != full || p.empty() != empty {
				t.Errorf("room for %d, full: %t, empty: %t; want %d, %t, %t", p.room(), p.full(), p.empty(), room, full, empty)
			}
		}
		call := func() {
			if err := p.call(t.Context(), "", func() {}); err != nil {
				t.Error(err)
			}
		}
		want(20, false, true)
		jobs := make([]*job, 20)
		for i := range jobs {
			jobs[i] = &job{}
			p.take(jobs[i])
		}
		want(0, false, false)
		call()
		call()
		want(2, false, false)
		p.free(jobs[0])
		p.free(jobs[0]) // it has none any more
		want(3, false, false)
		<-p.news
		for range 10 {
			call()
		}
		want(5, false, false)
		time.Sleep(2 * aheadFor)
		want(1, false, false)
		for _, j := range jobs {
			p.free(j)
		}
		want(20, false, true)
	})
}

// TestPlacesBoundCalls has more calls than places: each waits for one, or for the
// end of its context.
func TestPlacesBoundCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(time.Now, 1)
		over := make(chan struct{})
		go func() { _ = p.call(context.Background(), "", func() { <-over }) }()
		synctest.Wait()
		if !p.full() {
			t.Error("one call is in flight, and it is not full")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.call(ctx, "", func() { t.Error("called although the place is taken") }); err == nil {
			t.Error("no error")
		}
		for range 4 {
			p.take(&job{})
		}
		var first []string
		var all sync.WaitGroup
		for _, key := range []string{"c", "a", "b"} {
			all.Go(func() {
				_ = p.call(context.Background(), key, func() { first = append(first, key) })
			})
		}
		close(over)
		all.Wait()
		if diff := cmp.Diff([]string{"a", "b", "c"}, first); diff != "" {
			t.Errorf("of those that come at one moment (-want +got):\n%s", diff)
		}
		if err := p.call(t.Context(), "", func() {}); err != nil {
			t.Error(err)
		}
	})
}
