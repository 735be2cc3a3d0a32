package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/tools/checkout"
)

var (
	// ErrNotUp reports that no cloud is up in the state folder.
	ErrNotUp = errors.New("no local cloud is up here: run make up")
	// ErrOtherEngine reports that another engine is up than the one asked for.
	ErrOtherEngine = errors.New("another engine")
	// ErrEngine reports an unknown name of an engine, or one that cannot be used.
	ErrEngine = errors.New("cannot use engine")
)

// upTimeout bounds a whole start on a machine with empty caches.
const upTimeout = 15 * time.Minute

// A Config says what to start and where. All fields without "may" are required.
type Config struct {
	Root            string           // The checkout.
	State           string           // Folder of this cloud's state; two clouds have two.
	Engine          string           // One of EngineNames; may be empty: what is up already, or the first.
	Endpoint        string           // The external engine's address; may be empty for others.
	UpstreamBaseURL string           // A real provider; may be empty: then the stand-in is started.
	UpstreamAPIKey  string           // Its key, put into SSM; may be empty.
	Lambdas         string           // Folder of binaries that are built already; may be empty: then they are built.
	Faults          string           // Which calls of AWS fail (internal/boot/faults.go); may be empty: then none, as in a release.
	Concurrency     int              // Invocations that the account has at once; 0: as many as the engine gives.
	Contexts        []string         // More parameters of the CDK app, as "name=value"; may be empty.
	Environ         []string         // The caller's environment.
	Out             io.Writer        // Takes a line for each step.
	Now             func() time.Time // The clock.
	Random          io.Reader        // Source of the tenants' keys.
}

// A Cloud is one local cloud in its state folder.
type Cloud struct {
	cfg      Config
	wanted   string // The engine asked for, which must not differ from one that is up.
	engine   Engine
	telling  sync.Mutex // One line at a time: steps that run together tell of themselves.
	checkout checkout.Checkout
}

// state is what a later command must know of what runs; it lies in the state folder as state.json.
type state struct {
	Engine    string            `json:"engine"`
	Endpoint  string            `json:"endpoint"`
	Instance  string            `json:"instance"`  // The engine's process: another one has forgotten everything.
	Bootstrap string            `json:"bootstrap"` // Instance that CDK's own stack is on.
	Deployed  string            `json:"deployed"`  // Hash of what was deployed last.
	BaseURL   string            `json:"base_url"`
	Upstream  string            `json:"upstream"`
	StandIn   string            `json:"stand_in"` // The stand-in's base URL, if it runs.
	Outputs   map[string]string `json:"outputs"`
}

// New makes a cloud of a configuration. Where one is up already, its engine is the one that counts. Returns ErrEngine
// for an engine that there is not.
func New(cfg Config) (*Cloud, error) {
	c := &Cloud{cfg: cfg, checkout: checkout.Checkout{
		Root: cfg.Root, Logs: cfg.State, Environ: cleanEnviron(cfg.Environ),
	}}
	st := c.readState()
	if cfg.Engine == "" {
		c.cfg.Engine = cmp.Or(st.Engine, EngineNames()[0])
	}
	c.wanted = c.cfg.Engine
	if st.Engine != "" {
		c.cfg.Engine = st.Engine
		if st.Engine == "external" && c.cfg.Endpoint == "" {
			c.cfg.Endpoint = st.Endpoint
		}
	}
	if !slices.Contains(EngineNames(), c.wanted) {
		return nil, fmt.Errorf("%w %q: there are %s", ErrEngine, c.wanted, strings.Join(EngineNames(), " and "))
	}
	engine, err := newEngine(c.cfg, c.checkout)
	if err != nil {
		return nil, err
	}
	c.engine = engine
	return c, nil
}

// Up starts what does not run, builds, deploys what has changed and waits until the API answers. It may run again at
// any time.
func (c *Cloud) Up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	unlock, err := checkout.Lock(ctx, c.path("lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if c.wanted != c.cfg.Engine {
		return fmt.Errorf("%w: %s is up here, and %s was asked for: run make down first", ErrOtherEngine, c.cfg.Engine, c.wanted)
	}
	begun := c.cfg.Now()
	st := c.readState()
	built, err := c.prepare(ctx, &st)
	if err != nil {
		return err
	}
	if err := c.upstream(ctx, &st); err != nil {
		return err
	}
	if err := c.writeState(st); err != nil {
		return err
	}
	if err := c.deploy(ctx, &st, built); err != nil {
		return err
	}
	if err := c.settle(ctx, &st); err != nil {
		return err
	}
	c.say("ready", begun, "%s", st.BaseURL)
	return nil
}

// prepare starts the engine and builds everything that is deployed, at the same time.
func (c *Cloud) prepare(ctx context.Context, st *state) (artifacts, error) {
	group, ctx := errgroup.WithContext(ctx)
	var (
		running instance
		program string
	)
	group.Go(func() error {
		begun := c.cfg.Now()
		var err error
		running, err = c.engine.Start(ctx)
		if err == nil {
			c.say("engine", begun, "%s", running)
		}
		return err
	})
	group.Go(func() error {
		var err error
		program, err = c.checkout.CDK(ctx)
		return err
	})
	var built artifacts
	group.Go(func() error {
		begun := c.cfg.Now()
		var err error
		built, err = c.build(ctx)
		if err == nil {
			c.say("build", begun, "Lambdas, CDK app, stand-in")
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return artifacts{}, err
	}
	if st.Instance != running.id {
		*st = state{}
	}
	built.cdk = program
	st.Engine, st.Endpoint, st.Instance = c.cfg.Engine, running.endpoint, running.id
	return built, nil
}

// settle makes a deployed stack usable: what the engine dropped, the provider's key, the tenants; then it waits for
// the API.
func (c *Cloud) settle(ctx context.Context, st *state) error {
	clients, err := newClients(ctx, st.Endpoint, c.credentials())
	if err != nil {
		return err
	}
	if err := clients.restore(ctx, filepath.Join(c.cfg.State, "cdk.out", stackName+".template.json"), st.Outputs); err != nil {
		return err
	}
	if c.cfg.UpstreamAPIKey != "" {
		if err := clients.putKey(ctx, st.Outputs, c.cfg.UpstreamAPIKey); err != nil {
			return err
		}
	}
	tenants, err := c.tenants()
	if err != nil {
		return err
	}
	if err := clients.putTenants(ctx, st.Outputs, tenants, c.cfg.Now); err != nil {
		return err
	}
	return c.healthy(ctx, st.BaseURL, tenants[0].Secret)
}

// Down ends every process of this cloud and forgets what it held. It is no error if none runs.
func (c *Cloud) Down(ctx context.Context) error {
	unlock, err := checkout.Lock(ctx, c.path("lock"))
	if err != nil {
		return err
	}
	defer unlock()
	begun := c.cfg.Now()
	var standIn, engine bool
	var group errgroup.Group // Each ends, also where the other cannot.
	group.Go(func() (err error) { standIn, err = c.process("standin").stop(ctx); return err })
	group.Go(func() (err error) { engine, err = c.engine.Stop(ctx); return err })
	if err := group.Wait(); err != nil {
		return err
	}
	for _, name := range []string{"state.json", "tenants.json", "outputs.json"} {
		if err := os.Remove(c.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if standIn || engine {
		c.say("down", begun, "every process has ended")
	} else {
		c.say("down", begun, "nothing was up")
	}
	return nil
}

// Status tells what runs. Returns ErrNotUp if nothing does.
func (c *Cloud) Status(ctx context.Context) error {
	st, err := c.running(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.cfg.Out, "engine    %s at %s\napi       %s\nupstream  %s\n", st.Engine, st.Endpoint, st.BaseURL, st.Upstream)
	return nil
}

// running gives the state of a cloud that is up. Returns ErrNotUp otherwise.
func (c *Cloud) running(ctx context.Context) (state, error) {
	st := c.readState()
	if st.BaseURL == "" {
		return state{}, ErrNotUp
	}
	if alive, err := c.engine.Alive(ctx); err != nil || !alive {
		return state{}, errors.Join(ErrNotUp, err)
	}
	return st, nil
}

func (c *Cloud) path(name string) string { return filepath.Join(c.cfg.State, name) }

func (c *Cloud) process(name string) process {
	return process{name: name, folder: c.cfg.State}
}

// readState gives the last state written, or an empty one: a state that cannot be read is as good as none, since
// everything in it can be made again.
func (c *Cloud) readState() state {
	var st state
	data, err := os.ReadFile(c.path("state.json"))
	if err != nil || json.Unmarshal(data, &st) != nil {
		return state{}
	}
	return st
}

func (c *Cloud) writeState(st state) error {
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	return checkout.WriteFile(c.path("state.json"), data)
}

// say tells one step, its time and what came of it.
func (c *Cloud) say(step string, begun time.Time, format string, args ...any) {
	took := c.cfg.Now().Sub(begun).Round(100 * time.Millisecond)
	c.telling.Lock()
	defer c.telling.Unlock()
	fmt.Fprintf(c.cfg.Out, "%-9s %6s  %s\n", step, took, strings.TrimSpace(fmt.Sprintf(format, args...)))
}
