package retry

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter returns the wait that an answer's headers ask for, and whether
// they ask at all. It reads retry-after-ms (milliseconds, as OpenAI sends),
// then Retry-After in seconds, a fraction allowed, or as a date
// (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after). A date in the
// past is a wait of 0. What cannot be read, and a negative number, asks nothing.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) { //nolint:revive // the header's name
	if d, ok := number(h.Get("Retry-After-Ms"), time.Millisecond); ok {
		return d, true
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if d, ok := number(v, time.Second); ok {
		return d, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// number reads v as a count of unit, saturating. It takes digits and a point,
// and none of the other things that ParseFloat knows: an "inf" is not a wait.
func number(v string, unit time.Duration) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if strings.Trim(v, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // out of range is +Inf
		return 0, false
	}
	if n >= float64(math.MaxInt64)/float64(unit) {
		return math.MaxInt64, true
	}
	return time.Duration(math.Ceil(n * float64(unit))), true
}
