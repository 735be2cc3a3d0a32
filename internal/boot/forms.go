package boot

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/retry"
)

// A form is what a choice's text may be, and how it is read. The error of read
// goes on after the choice's name.
type form struct {
	bounds string
	read   func(text string, into *Settings) error
}

// wanted is the error of a text that is not what bounds says.
func (f form) wanted(text string) error { return fmt.Errorf("is %.64q: want %s", text, f.bounds) }

// number is an integer from least to most.
func number[N int | int64](least, most N, into func(*Settings) *N) form {
	return integer(fmt.Sprintf("%d to %d", least, most), func(n N) bool { return n >= least && n <= most }, into)
}

// limit is a number as well, or 0 for none.
func limit[N int | int64](least, most N, into func(*Settings) *N) form {
	bounds := fmt.Sprintf("0 (none), or %d to %d", least, most)
	if least == 0 {
		bounds = fmt.Sprintf("0 (none) to %d", most)
	}
	return integer(bounds, func(n N) bool { return n == 0 || n >= least && n <= most }, into)
}

// tenantRequests is a limit that is no less than maxRequests.
func tenantRequests() form {
	return integer("0 (none), or maxRequests to 1000000000", func(n int) bool { return n >= 0 && n <= 1_000_000_000 },
		func(s *Settings) *int { return &s.TenantRequests })
}

func integer[N int | int64](bounds string, fits func(N) bool, into func(*Settings) *N) form {
	f := form{bounds: bounds}
	f.read = func(text string, s *Settings) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !fits(N(n)) {
			return f.wanted(text)
		}
		*into(s) = N(n)
		return nil
	}
	return f
}

// maxRetries is a number, or unlimited.
func maxRetries() form {
	capped := number(0, 1_000_000, func(s *Settings) *int { return &s.Retries.MaxRetries })
	f := form{bounds: capped.bounds + ", or unlimited"}
	f.read = func(text string, s *Settings) error {
		if text == "unlimited" {
			s.Retries.MaxRetries = retry.Unlimited
			return nil
		}
		if capped.read(text, s) != nil {
			return f.wanted(text)
		}
		return nil
	}
	return f
}

// duration is one from least to most, which are durations too.
func duration(least, most string, into func(*Settings) *time.Duration) form {
	f := form{bounds: least + " to " + most}
	f.read = func(text string, s *Settings) error {
		low, errLow := time.ParseDuration(least)
		high, errHigh := time.ParseDuration(most)
		d, err := time.ParseDuration(text)
		if errLow != nil || errHigh != nil || err != nil || d < low || d > high {
			return fmt.Errorf("%w, such as 1.5s", f.wanted(text))
		}
		*into(s) = d
		return nil
	}
	return f
}

// maxBackoff is a duration that is no less than backoff.
func maxBackoff() form {
	f := duration("1ms", "1h", func(s *Settings) *time.Duration { return &s.Retries.MaxBackoff })
	f.bounds = "backoff to 1h"
	return f
}

// backoffFactor is a number, not always an integer.
func backoffFactor() form {
	f := form{bounds: "1 to 100"}
	f.read = func(text string, s *Settings) error {
		factor, err := strconv.ParseFloat(text, 64)
		if err != nil || !(factor >= 1 && factor <= 100) {
			return f.wanted(text)
		}
		s.Retries.Factor = factor
		return nil
	}
	return f
}

// jitter is a switch.
func jitter() form {
	f := form{bounds: "on, off"}
	f.read = func(text string, s *Settings) error {
		if !slices.Contains([]string{"on", "off"}, text) {
			return f.wanted(text)
		}
		s.Retries.Jitter = text == "on"
		return nil
	}
	return f
}

// list is entries of a pattern with commas between them, of a length in bytes.
func list(longest int, pattern, entries string, set func(s *Settings, entries []string) error) form {
	return form{
		bounds: fmt.Sprintf("%s; %d bytes", entries, longest),
		read: func(text string, s *Settings) error {
			if len(text) > longest {
				return fmt.Errorf("has %d bytes: want at most %d", len(text), longest)
			}
			all := strings.Split(text, ",")
			for i, entry := range all {
				all[i] = strings.TrimSpace(entry)
				if matched, err := regexp.MatchString(pattern, all[i]); err != nil || !matched {
					return fmt.Errorf("has %.64q: want %s, with commas between them", all[i], entries)
				}
			}
			return set(s, all)
		},
	}
}
