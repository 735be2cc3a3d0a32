package provider

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// limitWindow is what a minute of a limit lasts, unless it is told otherwise.
const limitWindow = time.Minute

// A Limit is what a stand-in allows a model. Zero numbers are no limits.
type Limit struct {
	// MaxConcurrency is how many calls may be in flight at once.
	MaxConcurrency int `json:"max_concurrency,omitempty"`

	// RPM is how many calls may arrive within any window, TPM how many tokens they may be charged together. A call is charged
	// when it arrives: a token for each four bytes of its prompt, and the most that it lets the model answer.
	RPM int `json:"rpm,omitempty"`
	TPM int `json:"tpm,omitempty"`

	// Window is how long a minute lasts: a minute by default.
	Window Duration `json:"window,omitzero"`

	// RetryAfter is what a refusal asks for: a duration, "fits" (until the call would fit into the windows, in whole seconds),
	// or nothing.
	RetryAfter string `json:"retry_after,omitempty"`

	// Observe has calls beyond the limits counted and answered, not refused.
	Observe bool `json:"observe,omitempty"`

	// Hang has every call wait until its client goes away, as at a model that is dead.
	Hang bool `json:"hang,omitempty"`
}

// A Duration is text in JSON, such as 90s.
type Duration time.Duration

// MarshalText returns d as time.ParseDuration reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads d.
func (d *Duration) UnmarshalText(text []byte) error {
	read, err := time.ParseDuration(string(text))
	*d = Duration(read)
	return err
}

// validate returns what is wrong with a limit.
func (l Limit) validate() error {
	if l.MaxConcurrency < 0 || l.RPM < 0 || l.TPM < 0 || l.Window < 0 {
		return errors.New("a limit must not be negative")
	}
	if _, ok := parseWait(cmp.Or(l.RetryAfter, "0s")); !ok && l.RetryAfter != retryFits {
		return errors.New(`retry_after must be a duration up to an hour, or "fits"`)
	}
	return nil
}

// retryFits is a RetryAfter that tells when the call would fit.
const retryFits = "fits"

// LimitStats is what was counted of a model that has a limit, since it was set or the counts were reset.
type LimitStats struct {
	// Accepted and Refused are all its calls. Tokens is what the accepted ones were charged.
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	Tokens   int `json:"tokens"`

	// OverConcurrency, OverRPM and OverTPM count calls that were beyond a limit when they came, refused or only observed. A call
	// may be beyond several.
	OverConcurrency int `json:"over_concurrency"`
	OverRPM         int `json:"over_rpm"`
	OverTPM         int `json:"over_tpm"`

	// MaxInFlight is the most accepted calls in flight at once, MaxRequests and MaxTokens the most within any window.
	MaxInFlight int `json:"max_in_flight"`
	MaxRequests int `json:"max_requests"`
	MaxTokens   int `json:"max_tokens"`

	// Early counts calls that came before the time that the last refusal of the model had told by its Retry-After.
	Early int `json:"early"`
}

// limits hold models to their limits.
type limits struct {
	now func() time.Time

	mu     sync.Mutex
	models map[string]*limited
}

// A limited is a model that has a limit.
type limited struct {
	limit    Limit
	stats    LimitStats
	inFlight int
	arrivals []arrived // accepted within the window, the oldest first
	tokens   int       // of arrivals
	told     time.Time // by the last Retry-After
}

type arrived struct {
	at     time.Time
	tokens int
}

// set replaces all limits, and forgets what was counted.
func (l *limits) set(all map[string]Limit) error {
	models := make(map[string]*limited, len(all))
	for name, limit := range all {
		if err := limit.validate(); err != nil {
			return fmt.Errorf("%.80q: %w", name, err)
		}
		limit.Window = cmp.Or(limit.Window, Duration(limitWindow))
		models[name] = &limited{limit: limit}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.models = models
	return nil
}

// get returns all limits.
func (l *limits) get() map[string]Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]Limit, len(l.models))
	for name, m := range l.models {
		all[name] = m.limit
	}
	return all
}

// stats returns the counts of all models that have limits.
func (l *limits) stats() map[string]LimitStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.models) == 0 {
		return nil
	}
	all := make(map[string]LimitStats, len(l.models))
	for name, m := range l.models {
		all[name] = m.stats
	}
	return all
}

// reset forgets the counts. What the windows have, they have.
func (l *limits) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.models {
		m.stats = LimitStats{MaxInFlight: m.inFlight, MaxRequests: len(m.arrivals), MaxTokens: m.tokens}
	}
}

// An admission is what a model's limit means for a call.
type admission struct {
	limit  Limit
	refuse bool
	retry  time.Duration // what a refusal asks for; 0: nothing
	leave  func()        // ends the call's place; nil if it has none
}

// admit decides on a call. A model that has no limit admits all.
func (l *limits) admit(model string, tokens int) admission {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.models[model]
	if base, _, cut := strings.Cut(model, ":"); !ok && cut {
		m, ok = l.models[base]
	}
	if !ok {
		return admission{}
	}
	now := l.now()
	m.slide(now)
	if now.Before(m.told) {
		m.stats.Early++
	}
	over := m.over(tokens)
	if over && !m.limit.Observe {
		m.stats.Refused++
		retry := m.retryAfter(now, tokens)
		if retry > 0 {
			m.told = now.Add(retry)
		}
		return admission{limit: m.limit, refuse: true, retry: retry}
	}
	m.arrivals = append(m.arrivals, arrived{at: now, tokens: tokens})
	m.tokens += tokens
	m.inFlight++
	s := &m.stats
	s.Accepted, s.Tokens = s.Accepted+1, s.Tokens+tokens
	s.MaxInFlight, s.MaxRequests = max(s.MaxInFlight, m.inFlight), max(s.MaxRequests, len(m.arrivals))
	s.MaxTokens = max(s.MaxTokens, m.tokens)
	return admission{limit: m.limit, leave: sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		m.inFlight--
	})}
}

// slide lets what is older than a window out of it.
func (m *limited) slide(now time.Time) {
	gone := 0
	for gone < len(m.arrivals) && now.Sub(m.arrivals[gone].at) >= time.Duration(m.limit.Window) {
		m.tokens -= m.arrivals[gone].tokens
		gone++
	}
	m.arrivals = m.arrivals[gone:]
}

// over counts a call that is beyond a limit, and reports whether it is.
func (m *limited) over(tokens int) bool {
	concurrency := m.limit.MaxConcurrency > 0 && m.inFlight >= m.limit.MaxConcurrency
	requests := m.limit.RPM > 0 && len(m.arrivals) >= m.limit.RPM
	charged := m.limit.TPM > 0 && m.tokens+tokens > m.limit.TPM
	for into, is := range map[*int]bool{
		&m.stats.OverConcurrency: concurrency, &m.stats.OverRPM: requests, &m.stats.OverTPM: charged,
	} {
		if is {
			*into++
		}
	}
	return concurrency || requests || charged
}

// retryAfter returns what a refusal asks for.
func (m *limited) retryAfter(now time.Time, tokens int) time.Duration {
	if m.limit.RetryAfter != retryFits {
		wait, _ := parseWait(cmp.Or(m.limit.RetryAfter, "0s")) // It was validated.
		return wait
	}
	wait, requests, charged := time.Second, len(m.arrivals), m.tokens
	for _, a := range m.arrivals {
		if (m.limit.RPM == 0 || requests < m.limit.RPM) && (m.limit.TPM == 0 || charged+tokens <= m.limit.TPM) {
			break
		}
		requests, charged = requests-1, charged-a.tokens
		wait = a.at.Add(time.Duration(m.limit.Window)).Sub(now)
	}
	return time.Duration(math.Ceil(wait.Seconds())) * time.Second
}

// charge returns how many tokens a call is charged when it arrives.
func (r request) charge() int {
	prompt := len(r.Prompt) + len(r.Input)
	for _, m := range r.Messages {
		prompt += len(m.Content)
	}
	return (prompt+tokenBytes-1)/tokenBytes + max(r.MaxTokens, r.MaxCompletionTokens, r.MaxOutputTokens)*max(r.N, 1)
}

// serveLimits answers the limits, which a PUT replaces.
func (p *Provider) serveLimits(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		var all map[string]Limit
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&all)
		if err == nil {
			err = p.SetLimits(all)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, failure(http.StatusBadRequest, "The limits cannot be set: "+err.Error(), "", "invalid_value"))
			return
		}
	}
	writeJSON(w, http.StatusOK, p.limits.get())
}

// refuseOver answers a call that is beyond its model's limit.
func (x *exchange) refuseOver(retry time.Duration) {
	var until time.Time
	if retry > 0 {
		x.w.Header().Set("Retry-After", strconv.FormatFloat(retry.Seconds(), 'f', -1, 64))
		until = x.now().Add(retry)
	}
	body := failure(http.StatusTooManyRequests, "Rate limit reached for this model.", "", "rate_limit_exceeded")
	x.failUntil(http.StatusTooManyRequests, body, until)
}
