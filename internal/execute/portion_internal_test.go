package execute

import (
	"testing"
	"time"
)

// TestPortion demands how many of 100 places a route may take, by what is about beside
// it and what it has answered.
func TestPortion(t *testing.T) {
	t.Parallel()
	start := time.Now()
	called := func(p *portion) { p.left(start) }
	answered := func(n int) func(*portion) {
		return func(p *portion) {
			p.left(start)
			for range n {
				p.over(start, true, false)
			}
		}
	}
	for name, tc := range map[string]struct {
		places  int
		history func(*portion)
		after   time.Duration
		beside  beside
		want    int
	}{
		"alone, and new":                      {100, nil, 0, beside{}, 60},
		"alone, in few places":                {19, nil, 0, beside{}, anyMany},
		"alone, in 20 places":                 {20, nil, 0, beside{}, 12},
		"alone, and it has answered":          {100, answered(1), 0, beside{}, anyMany},
		"alone, silent for not quite 30 s":    {100, answered(1), silence - 1, beside{}, anyMany},
		"alone, silent for 30 s":              {100, answered(1), silence, beside{}, 60},
		"beside others, and new":              {100, nil, 0, beside{waits: true}, 10},
		"beside others, in few places":        {5, nil, 0, beside{waits: true}, 1},
		"beside others, after 9 answers":      {100, answered(9), 0, beside{waits: true, alive: true}, 10},
		"beside others, after 10":             {100, answered(10), 0, beside{waits: true, alive: true}, 20},
		"beside others, after 20 more":        {100, answered(30), 0, beside{waits: true, alive: true}, 40},
		"beside others, after 40 more":        {100, answered(70), 0, beside{waits: true, alive: true}, 50},
		"and siblings":                        {100, answered(70), 0, beside{waits: true, alive: true, siblings: 45}, 5},
		"and as many siblings as it may":      {100, answered(70), 0, beside{waits: true, alive: true, siblings: 60}, 1},
		"beside the dead":                     {100, answered(1), 0, beside{waits: true}, 90},
		"beside the dead, and siblings":       {100, answered(1), 0, beside{waits: true, siblings: 30}, 60},
		"beside the dead, and many siblings":  {100, answered(1), 0, beside{waits: true, siblings: 95}, 1},
		"beside the dead, in five places":     {5, answered(1), 0, beside{waits: true}, 4},
		"beside others, and silent for long":  {100, answered(70), silence, beside{waits: true}, 10},
		"beside others, and none has been":    {100, called, silence, beside{waits: true}, 10},
		"alone, and nothing came for a while": {100, called, silence - 1, beside{}, 60},
	} {
		p := newPortion(tc.places)
		if tc.history != nil {
			tc.history(&p)
		}
		if got := p.most(start.Add(tc.after), tc.beside); got != tc.want {
			t.Errorf("%s: %d places, want %d", name, got, tc.want)
		}
	}
}

// TestASilentRoute demands from when on a route is silent, until when, and how long those
// rest that find no place.
func TestASilentRoute(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	p := newPortion(100)
	if p.dead(at(time.Hour)) || p.rest(at(time.Hour)) != placeRest {
		t.Error("one that was never called is silent")
	}
	p.left(start)
	p.left(at(10 * time.Second)) // it is silent since the first
	if p.dead(at(silence-1)) || !p.dead(at(silence)) {
		t.Error("it is not dead from 30 s after the first call on")
	}
	for _, tc := range []struct{ after, want time.Duration }{
		{time.Second, placeRestFew}, {500 * time.Millisecond, placeRestFew}, {20 * time.Second, 20 * time.Second}, {time.Hour, placeRestMost},
	} {
		if got := p.rest(at(tc.after)); got != tc.want {
			t.Errorf("after %v without an answer a message rests for %v, want %v", tc.after, got, tc.want)
		}
	}
	p.over(at(20*time.Second), false, false) // an error of the connection is no answer
	if !p.dead(at(silence)) {
		t.Error("a call that was not answered ends its silence")
	}
	p.over(at(25*time.Second), true, false)
	if got := p.rest(at(26 * time.Second)); got != placeRest {
		t.Errorf("a second after an answer a message rests for %v", got)
	}
	if p.dead(at(25*time.Second+silence-1)) || !p.dead(at(25*time.Second+silence)) {
		t.Error("it is not silent since its last answer")
	}
	p.over(at(26*time.Second), false, true)
	if p.dead(at(time.Hour)) {
		t.Error("it is silent although no call is in flight")
	}
}
