package retry_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/retry"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := noon().Add(500 * time.Millisecond) // dates know whole seconds only
	cases := map[string]struct {
		seconds, millis string
		want            time.Duration
		ok              bool
	}{
		"nothing":                    {"", "", 0, false},
		"seconds":                    {"20", "", 20 * time.Second, true},
		"no seconds":                 {"0", "", 0, true},
		"leading zeros":              {"007", "", 7 * time.Second, true},
		"a fraction":                 {"1.5", "", 1500 * time.Millisecond, true},
		"less than a nanosecond":     {"0.0000000001", "", 1, true},
		"spaces around":              {"  3\t", "", 3 * time.Second, true},
		"a day":                      {"86400", "", 24 * time.Hour, true},
		"more than fits":             {"1e18", "", 0, false},
		"more digits than fit":       {"99999999999999999999", "", 0, false},
		"just what fits":             {"9223372036", "", 0, false},
		"a second more than fits":    {"9223372037", "", 0, false},
		"more than a float holds":    {"1" + string(make0s(400)), "", 0, false},
		"a year":                     {"31536000", "", 31536000 * time.Second, true},
		"more than a year":           {"31708800", "", 0, false},
		"a Unix time":                {"1936785660", "", 59500 * time.Millisecond, true}, // Sat, 17 May 2031 12:01:00 GMT
		"a Unix time, a fraction":    {"1936785660.5", "", time.Minute, true},
		"a Unix time past":           {"1795650000", "", 0, true},
		"a Unix time far off":        {"9999999999", "", 0, false},
		"a Unix time in ms":          {"1936785660000", "", 59500 * time.Millisecond, true},
		"ms that are a Unix time":    {"", "1936785660000", 59500 * time.Millisecond, true},
		"negative":                   {"-1", "", 0, false},
		"negative zero":              {"-0", "", 0, false},
		"signed":                     {"+1", "", 0, false},
		"no number":                  {"NaN", "", 0, false},
		"infinite":                   {"Inf", "", 0, false},
		"infinity":                   {"infinity", "", 0, false},
		"hexadecimal":                {"0x10", "", 0, false},
		"grouped":                    {"1_000", "", 0, false},
		"a comma":                    {"1,5", "", 0, false},
		"two numbers":                {"1 2", "", 0, false},
		"two points":                 {"1.2.3", "", 0, false},
		"a point alone":              {".", "", 0, false},
		"a unit":                     {"20s", "", 0, false},
		"a word":                     {"soon", "", 0, false},
		"digits of another script":   {"٣", "", 0, false},
		"a date":                     {"Sat, 17 May 2031 12:00:30 GMT", "", 29500 * time.Millisecond, true},
		"a date past":                {"Sat, 17 May 2031 11:00:00 GMT", "", 0, true},
		"this very second":           {"Sat, 17 May 2031 12:00:00 GMT", "", 0, true},
		"a date of old (RFC 850)":    {"Saturday, 17-May-31 12:01:00 GMT", "", 59500 * time.Millisecond, true},
		"a date of old (asctime)":    {"Sat May 17 12:00:01 2031", "", 500 * time.Millisecond, true},
		"a date far off":             {"Fri, 31 Dec 9999 23:59:59 GMT", "", 0, false},
		"half a date":                {"Sat, 17 May 2031", "", 0, false},
		"a date of no calendar":      {"Sat, 31 Feb 2031 12:00:00 GMT", "", 0, false},
		"milliseconds":               {"", "250", 250 * time.Millisecond, true},
		"a fraction of one":          {"", "0.5", 500 * time.Microsecond, true},
		"milliseconds go first":      {"20", "250", 250 * time.Millisecond, true},
		"no milliseconds go first":   {"20", "0", 0, true},
		"unreadable milliseconds":    {"20", "soon", 20 * time.Second, true},
		"negative milliseconds":      {"20", "-5", 20 * time.Second, true},
		"milliseconds are no date":   {"", "Sat, 17 May 2031 12:00:30 GMT", 0, false},
		"huge milliseconds":          {"20", "99999999999999999999", 20 * time.Second, true},
		"neither can be read":        {"soon", "later", 0, false},
		"a millisecond that doesn't": {"", "9223372036855", 0, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if c.seconds != "" {
				h.Set("retry-after", c.seconds)
			}
			if c.millis != "" {
				h.Set("retry-after-ms", c.millis)
			}
			if got, ok := retry.RetryAfter(h, now); got != c.want || ok != c.ok {
				t.Errorf("RetryAfter(%q, %q ms) = %v, %t, want %v, %t", c.seconds, c.millis, got, ok, c.want, c.ok)
			}
		})
	}
}

func make0s(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0'
	}
	return b
}

func TestRetryAfterWithoutHeaders(t *testing.T) {
	t.Parallel()
	if d, ok := retry.RetryAfter(nil, noon()); d != 0 || ok {
		t.Errorf("RetryAfter(nil) = %v, %t", d, ok)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{
		"", "0", "20", "1.5", "-1", "NaN", "Inf", "1e309", "1e18", "9223372036", "9223372036.854775807", "9223372036854.775",
		"9223372036854.774", "0x1p-2", "1_0", ".", "Sat, 17 May 2031 12:00:30 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
		"Sat May 17 12:00:01 2031", "soon", "\xff",
	} {
		f.Add(seed, "")
		f.Add("20", seed)
	}
	f.Fuzz(func(t *testing.T, seconds, millis string) {
		h := http.Header{"Retry-After": {seconds}, "Retry-After-Ms": {millis}}
		d, ok := retry.RetryAfter(h, noon())
		if d < 0 || (!ok && d != 0) {
			t.Fatalf("RetryAfter(%q, %q ms) = %v, %t", seconds, millis, d, ok)
		}
		p := fusillade()
		left := p.Decide(retry.Failed{Now: noon(), Deadline: noon().Add(time.Hour), RetryAfter: d}, nil)
		if left.Denied == retry.DeniedNot && left.NotBefore.Before(noon().Add(d)) {
			t.Fatalf("a wait of %v was cut short to %v", d, left.NotBefore.Sub(noon()))
		}
	})
}
