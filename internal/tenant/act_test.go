package tenant_test

import (
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

func TestActLine(t *testing.T) {
	t.Parallel()
	a := tenant.Act{At: noon(), Who: "arn:aws:iam::1:user/ann", What: "keys create", On: "acme", With: "key=12ab"}
	if got, want := a.String(), "2031-05-17T06:30:00Z arn:aws:iam::1:user/ann keys create acme key=12ab"; got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
	a.Who, a.With = "", ""
	if got, want := a.String(), "2031-05-17T06:30:00Z unknown keys create acme"; got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
	a.On = "x\x1b[2J\ny"
	if got := a.String(); strings.ContainsAny(got, "\x1b\n") {
		t.Errorf("the line %q moves the cursor", got)
	}
}

func TestActsSortByTime(t *testing.T) {
	t.Parallel()
	a := tenant.Act{At: noon(), What: "keys create"}
	b := a
	b.What = "keys revoke"
	later := b
	later.At = noon().Add(time.Millisecond)
	switch {
	case a.ID() == b.ID(), a.ID() != a.Kept().ID():
		t.Errorf("ids are %s and %s", a.ID(), b.ID())
	case a.ID() >= later.ID(), b.ID() >= later.ID(), tenant.ActMoment(later.At) >= later.ID(), tenant.ActMoment(later.At) <= a.ID():
		t.Errorf("%s and %s do not come before %s", a.ID(), b.ID(), later.ID())
	}
}

func TestActsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 5000)
	a := tenant.Act{At: noon(), Who: long, What: long, On: long, With: long}.Kept()
	for _, text := range []string{a.Who, a.What, a.On, a.With} {
		if len(text) > 2000 || len(text) < 1990 || !strings.HasSuffix(text, "ä") {
			t.Errorf("%d bytes are kept", len(text))
		}
	}
}
