package execute

import (
	"context"
	"strconv"
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
			if r, e := p.look(2, false); r != room || p.full() != full || e != empty {
				t.Errorf("room for %d, full: %t, empty: %t; want %d, %t, %t", r, p.full(), e, room, full, empty)
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

// TestNewsIsOfARoom that is worth a receive, or of none that is taken: a worker is not woken for each call that ends.
func TestNewsIsOfARoom(t *testing.T) {
	t.Parallel()
	const worth = 10
	p := newPlaces(time.Now, 100)
	jobs := make([]*job, 100)
	for i := range jobs {
		jobs[i] = &job{}
		p.take(jobs[i])
	}
	p.look(worth, false)
	for i, j := range jobs[:99] {
		p.free(j)
		if told := len(p.news) == 1; told != (i == worth-1) {
			t.Fatalf("with %d free there is news: %t", i+1, told)
		}
		for range len(p.news) {
			<-p.news
		}
	}
	for _, j := range jobs[:98] {
		p.take(j)
	}
	p.look(worth, false)
	if p.free(jobs[0]); len(p.news) > 0 {
		t.Error("there is news of two")
	}
	for _, j := range jobs[1:9] {
		p.free(j)
	}
	if len(p.news) == 0 {
		t.Error("there is no news of ten")
	}
	<-p.news
	p.look(worth, false)
	for _, j := range jobs[9:50] {
		p.free(j)
	}
	if len(p.news) > 0 {
		t.Error("there is news of what is known")
	}
	p.look(worth, true)
	if p.free(jobs[50]); len(p.news) == 0 {
		t.Error("there is no news of more although it is wanted")
	}
	<-p.news
	for _, j := range jobs {
		p.free(j)
	}
	if len(p.news) == 0 {
		t.Error("there is no news of the end")
	}
}

// TestAPlaceGoesOnAtOnce to who has waited for it.
func TestAPlaceGoesOnAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(time.Now, 1)
		eased := 0
		p.eased = func() { eased++ }
		began := time.Now()
		var all sync.WaitGroup
		for n := range 3 {
			all.Go(func() {
				_ = p.call(t.Context(), strconv.Itoa(n), func() {
					if at := time.Since(began); at != time.Duration(n)*time.Second {
						t.Errorf("call %d begins after %v", n, at)
					}
					time.Sleep(time.Second)
				})
			})
			synctest.Wait() // they come one after another
		}
		all.Wait()
		if eased != 1 {
			t.Errorf("it was told %d times that there are places, want once, at the end", eased)
		}
	})
}

// TestPlacesForgetNobody that comes as a call ends, or as places are given: who is first at one moment is chance.
func TestPlacesForgetNobody(t *testing.T) {
	t.Parallel()
	for range 20 {
		t.Run("as places are given", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { comeBeside(t, 0, placeSame) })
		})
		t.Run("as calls end", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { comeBeside(t, 10, 0) })
		})
	}
}

// comeBeside has five calls come, each so long after the other, of which one comes as others end that have all ten
// places, or none.
func comeBeside(t *testing.T, others int, each time.Duration) {
	t.Helper()
	p := newPlaces(time.Now, 10)
	for range 11 {
		p.take(&job{})
	}
	p.flying = others
	var all sync.WaitGroup
	for n := range 5 {
		all.Go(func() {
			time.Sleep(time.Second + time.Duration(n)*each)
			came := time.Now()
			_ = p.call(t.Context(), strconv.Itoa(n), func() {
				if waited := time.Since(came); waited > 2*placeSame {
					t.Errorf("call %d waited for %v though places were empty", n, waited)
				}
				time.Sleep(time.Minute)
			})
		})
	}
	time.Sleep(time.Second)
	synctest.Wait()
	for range others {
		p.land()
	}
	all.Wait()
}
