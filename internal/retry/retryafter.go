package retry

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter returns the wait that an answer's headers ask for, and whether
// they ask at all. It reads retry-after-ms (milliseconds, as OpenAI sends),
// then Retry-After in seconds, a fraction allowed, or as a date
// (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after). A number of a
// billion or more is the Unix time until which to wait, in seconds, or in
// milliseconds if it is that large. A time in the past is a wait of 0. What cannot
// be read, a negative number, and a wait of more than a year ask nothing.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) { //nolint:revive // the header's name
	if d, ok := number(h.Get("Retry-After-Ms"), time.Millisecond, now); ok {
		return d, true
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if d, ok := number(v, time.Second, now); ok {
		return d, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return until(at, now)
	}
	return 0, false
}

const (
	// longest is the longest wait that is one.
	longest = 366 * 24 * time.Hour
	// unixSeconds and unixMillis are the numbers from which on one is a Unix time,
	// in seconds (of 2001) and in milliseconds; tooLarge is none any more.
	unixSeconds, unixMillis, tooLarge = 1e9, 1e12, 1e15
)

// until returns the wait until at, unless it is too long to be one.
func until(at, now time.Time) (time.Duration, bool) {
	wait := max(at.Sub(now), 0)
	if wait > longest {
		return 0, false
	}
	return wait, true
}

// number reads v as a count of unit, or as a Unix time. It takes digits and a
// point, and none of the other things that ParseFloat knows: an "inf" is not a wait.
func number(v string, unit time.Duration, now time.Time) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if strings.Trim(v, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil || n >= tooLarge:
		return 0, false
	case n >= unixMillis:
		return until(time.UnixMilli(int64(n)), now)
	case n >= unixSeconds && unit == time.Second:
		return until(time.UnixMilli(int64(n*1e3)), now)
	case n*float64(unit) > float64(longest):
		return 0, false
	}
	return time.Duration(math.Ceil(n * float64(unit))), true
}
