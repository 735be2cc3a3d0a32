package storetest

import (
	"testing"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

// actsNewestFirst writes acts of a time that no other trial has, since others may use the
// same store.
func actsNewestFirst(t *testing.T, s Store) {
	first := Filled[tenant.Act]()
	first.At, first.On = noon().Add(99_999*time.Hour), unique("t-")
	second, third := first, first
	second.At, third.At = first.At.Add(time.Millisecond), first.At.Add(time.Hour)
	for _, a := range []tenant.Act{second, third, first, second} {
		ok(t, s.PutAct(t.Context(), a))
	}
	before := third.At.Add(time.Millisecond)
	acts, more, err := s.Acts(t.Context(), before, 2)
	ok(t, err)
	same(t, "acts", acts, []tenant.Act{third, second})
	same(t, "more", more, true)
	acts, _, err = s.Acts(t.Context(), second.At, 1)
	ok(t, err)
	same(t, "acts before the second", acts, []tenant.Act{first})
	acts, _, err = s.Acts(t.Context(), time.Time{}, 1000)
	ok(t, err)
	if len(acts) < 3 || acts[0].At.Before(third.At) {
		t.Errorf("%d acts are found, from %v on", len(acts), acts[0].At)
	}
}

func actsBounds(t *testing.T, s Store) {
	if _, _, err := s.Acts(t.Context(), time.Time{}, 0); err == nil {
		t.Error("a page of no acts")
	}
}
