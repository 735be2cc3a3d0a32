package route

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/retry"
)

var (
	// ErrInvalid reports a model that cannot be one. The errors that wrap it are
	// *FieldError, one for each field that is wrong.
	ErrInvalid = errors.New("route: invalid model")
	// ErrNotFound reports that a store has no model of a pattern.
	ErrNotFound = errors.New("route: no such model")
	// ErrConflict reports a write of a model that another writer changed first.
	ErrConflict = errors.New("route: another change was first")
)

// The defaults of a route.
const (
	DefaultWeight      = 1
	DefaultConnect     = 10 * time.Second
	DefaultAnswerLimit = 64 << 20 // bytes
)

// The two answers to a spent quota (a 402, or a 429 of the code insufficient_quota and the like).
const (
	Pause = "pause" // the route pauses: somebody may pay
	Fail  = "fail"  // the request fails
)

// The kinds of authentication.
const (
	Bearer = "bearer" // Authorization: Bearer KEY
	Header = "header" // the key as a header of its own
	SigV4  = "sigv4"  // AWS Signature Version 4, by the function's own role
	None   = "none"
)

const (
	// Default is the pattern of the default route.
	Default = "*"
	// DefaultKey is the Auth.Key that is the deployment's own: where that has none, none
	// is sent.
	DefaultKey = "default"
)

// A Model is what an operator says of the models whose names match a pattern.
type Model struct {
	Pattern    string      // a name, or one with * in it, which stands for any characters, also none
	Routes     []Route     // 1 to MaxRoutes
	Retryable  []string    // statuses as retry.ParseStatuses reads them; empty: the batch's own
	SpentQuota string      // Pause or Fail; empty: Pause
	Escalation *Escalation // nil: none
	Revision   int64       // the store's: how often the model was written; 0: never
}

// An Escalation has late requests answered by another model.
type Escalation struct {
	Model  string        // its name, which is looked up in the table like any other, once
	Before time.Duration // when less than it remains before the deadline
}

// A Route is one upstream of a model. Limits, pauses and health are a route's.
type Route struct {
	Name           string // unique in its model
	BaseURL        string
	Auth           Auth
	Headers        map[string]string // extra ones
	Model          string            // the model's name there; empty: as the line has it
	Weight         int               // share among the routes; 0: DefaultWeight
	AllowPrivate   bool              // private and link-local addresses are allowed, and http
	MaxConcurrency int               // calls in flight of the whole fleet; 0: no limit
	RPM            int               // requests a minute of the whole fleet; 0: no limit
	TPM            int               // tokens a minute of the whole fleet; 0: no limit
	Connect        time.Duration     // 0: DefaultConnect
	FirstByte      time.Duration     // 0: no limit
	Total          time.Duration     // 0: as long as an invocation allows
	AnswerLimit    int64             // bytes; 0: DefaultAnswerLimit

	// ID names the route in the whole deployment. A Table sets it.
	ID string
}

// An Auth is how calls prove who makes them.
type Auth struct {
	Kind    string // Bearer, Header, SigV4 or None
	Header  string // of Header: api-key, x-api-key …
	Key     string // of Bearer and Header: "ssm:NAME" or "secretsmanager:NAME", NAME under the deployment's prefix, or DefaultKey
	Service string // of SigV4
	Region  string // of SigV4
}

// DefaultModel returns the model of a deployment's default route. Private says that
// http and private addresses are allowed.
func DefaultModel(baseURL string, private bool) Model {
	return Model{Pattern: Default, Routes: []Route{{
		Name: "default", BaseURL: baseURL, Auth: Auth{Kind: Bearer, Key: DefaultKey}, AllowPrivate: private,
	}}}
}

// WithDefaults returns m with each empty field that has a default filled, and
// its routes with their ids. m stays as it is.
func (m Model) WithDefaults() Model {
	m.SpentQuota = cmp.Or(m.SpentQuota, Pause)
	m.Routes = slices.Clone(m.Routes)
	for i := range m.Routes {
		r := &m.Routes[i]
		r.ID = m.Pattern + "#" + r.Name
		r.Weight = cmp.Or(r.Weight, DefaultWeight)
		r.Connect = cmp.Or(r.Connect, DefaultConnect)
		r.AnswerLimit = cmp.Or(r.AnswerLimit, DefaultAnswerLimit)
	}
	return m
}

// Policy returns p with m's own retryable statuses, if it has some. m must be valid.
func (m Model) Policy(p retry.Policy) retry.Policy {
	if statuses, err := m.statuses(); err == nil && len(statuses) > 0 {
		p.Retryable = statuses
	}
	return p
}

func (m Model) statuses() (retry.Statuses, error) {
	if len(m.Retryable) == 0 {
		return nil, nil
	}
	return retry.ParseStatuses(strings.Join(m.Retryable, ","))
}

// Escalates reports whether a request with so much time before its deadline
// goes to another model.
func (m Model) Escalates(remaining time.Duration) bool {
	return m.Escalation != nil && remaining < m.Escalation.Before
}

// Pick returns the route to which a share in [0, 1) falls, by the routes'
// weights, and false if there is none.
func (m Model) Pick(share float64) (Route, bool) {
	total := 0
	for _, r := range m.Routes {
		total += r.Weight
	}
	at := share * float64(total)
	for _, r := range m.Routes {
		if at -= float64(r.Weight); at < 0 {
			return r, true
		}
	}
	return Route{}, false
}

// IsName reports whether pattern is a model's name.
func IsName(pattern string) bool { return !strings.Contains(pattern, "*") }
