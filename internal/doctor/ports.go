package doctor

import (
	"context"
	"errors"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
)

var (
	// ErrNoKey reports that a route's key is not where it should be. What wraps it
	// says where that is, and never what the key is.
	ErrNoKey = errors.New("there is no key")
	// ErrElsewhere reports a route that only the deployment itself can call.
	ErrElsewhere = errors.New("only the deployment can call it")
)

// A Concurrency is how many invocations an account has in a region, of all its
// functions at once.
type Concurrency struct {
	Limit      int
	Unreserved int // what is left to functions that have reserved none
}

// Quotas are what AWS lets an account's tables take in a region, unless it is
// asked for more.
type Quotas struct {
	TableReads  int // read units a second of one table
	TableWrites int // write units a second
}

// A Function is a Lambda function of the deployment.
type Function struct {
	Name     string
	State    string // "Active", as a rule
	Update   string // of its last update: "Successful", as a rule
	Reserved int    // invocations that are its own, and all it has; -1: none are reserved
}

// A Source is an event source mapping, which brings the queue's messages to execute.
type Source struct {
	ID          string
	State       string // "Enabled", as a rule
	Invocations int    // at once; 0: as many as there are
}

// Depths are how many messages a queue has, as far as SQS knows.
type Depths struct {
	Visible  int
	InFlight int // received, or hidden until later
}

// An Account is what AWS says of the account.
type Account interface {
	Concurrency(ctx context.Context) (Concurrency, error)
	Quotas(ctx context.Context) (Quotas, error)
}

// A Stack is what AWS says of the deployment's parts.
type Stack interface {
	Functions(ctx context.Context) ([]Function, error)
	Sources(ctx context.Context) ([]Source, error)
	Queue(ctx context.Context) (Depths, error)
	DeadLetters(ctx context.Context) (Depths, error)
	// Bucket returns nil if the bucket can be reached.
	Bucket(ctx context.Context) error
}

// A Store reads the deployment's table.
type Store interface {
	Models(ctx context.Context) ([]route.Model, error)
	Limit(ctx context.Context, routeID string) (limit.Record, error)
	// Runnings returns at most limit entries, oldest batch first, that come after
	// the batch named after, and whether there are more.
	Runnings(ctx context.Context, after string, limit int) ([]batch.Running, bool, error)
}

// A Flows knows how flows stand.
type Flows interface {
	// Running returns the names of the flows that run. It may lag behind.
	Running(ctx context.Context) (map[string]bool, error)
	State(ctx context.Context, batchID string, n int) (batch.FlowState, error)
}

// A Provider is what models' routes lead to.
type Provider interface {
	// Key returns nil if a route's key is there: an error wrapping ErrNoKey if
	// not, and ErrDenied if the caller may not read it.
	Key(ctx context.Context, auth route.Auth) error
	// Models asks a route for its models, which costs nothing, with its key if it
	// has one, and returns the answer's status. It returns ErrElsewhere.
	Models(ctx context.Context, r route.Route) (int, error)
}

// Deps are what a Doctor looks at. All are required.
type Deps struct {
	Account  Account
	Stack    Stack
	Store    Store
	Flows    Flows
	Provider Provider
	Clock    func() time.Time
}
