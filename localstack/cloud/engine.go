package cloud

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/musketry/musketry/tools/checkout"
)

// An Engine is an AWS-compatible cloud on this machine.
type Engine interface {
	// Start brings the engine up, or finds it up. Returns checkout.ErrTool if the machine lacks what it needs.
	Start(ctx context.Context) (instance, error)
	// Stop ends what Start started, with every Lambda, and reports whether there was anything.
	Stop(ctx context.Context) (bool, error)
	// Alive reports whether the engine is up.
	Alive(ctx context.Context) (bool, error)
}

// An instance is one run of an engine: its memory lasts as long.
type instance struct {
	name     string
	endpoint string
	id       string // Another run has another; empty if that cannot be told.
}

func (i instance) String() string { return i.name + " at " + i.endpoint }

// EngineNames lists the engines that there are; the first is the default.
func EngineNames() []string { return []string{"ministack", "localstack", "external"} }

func newEngine(cfg Config, tools checkout.Checkout) (Engine, error) {
	switch cfg.Engine {
	case "ministack":
		return newMiniStack(cfg, tools), nil
	case "localstack":
		return newLocalStack(cfg, tools), nil
	case "external":
		return newExternal(cfg.Endpoint)
	default:
		return nil, fmt.Errorf("%w %q", ErrEngine, cfg.Engine)
	}
}

const (
	engineStart = 3 * time.Minute // The first start compiles what was installed.
	portTries   = 3
	// askTimeout bounds the answer of a health page, which needs no service.
	askTimeout = 5 * time.Second
	// firstTimeout bounds an answer for which an engine may have to load its services first.
	firstTimeout = 30 * time.Second
	// localStackHealth is LocalStack's health page. Another engine answers anything else, which tells as much.
	localStackHealth = "/_localstack/health"
)

// external is an engine that the user started: it is deployed to, and left alone otherwise.
type external struct{ endpoint string }

var _ Engine = (*external)(nil)

func newExternal(endpoint string) (*external, error) {
	switch {
	case endpoint == "":
		return nil, fmt.Errorf("%w external: it needs AWS_ENDPOINT_URL", ErrEngine)
	case slices.ContainsFunc([]string{"amazonaws.com", "api.aws"}, func(s string) bool { return strings.Contains(endpoint, s) }):
		return nil, fmt.Errorf("%w external: %s is AWS itself, where make deploy deploys", ErrEngine, endpoint)
	}
	return &external{endpoint: strings.TrimSuffix(endpoint, "/")}, nil
}

// Start only looks whether the engine answers.
func (e *external) Start(ctx context.Context) (instance, error) {
	if alive, err := e.Alive(ctx); err != nil || !alive {
		return instance{}, fmt.Errorf("no engine answers at %s: %w", e.endpoint, err)
	}
	return instance{name: "external engine", endpoint: e.endpoint}, nil
}

// Stop does nothing: the engine is the user's.
func (e *external) Stop(context.Context) (bool, error) { return false, nil }

// Alive asks for LocalStack's health page and takes any answer: what else an engine is asked for may load a service first.
func (e *external) Alive(ctx context.Context) (bool, error) {
	_, err := get(ctx, e.endpoint+localStackHealth, "", askTimeout)
	return err == nil, err
}

// answers reports whether a health page is answered with 200.
func answers(ctx context.Context, url string) bool {
	status, err := get(ctx, url, "", askTimeout)
	return err == nil && status == http.StatusOK
}

// get asks with a bearer key, if any, and gives the status.
func get(ctx context.Context, url, key string, patience time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// freeEndpoint finds a port that nobody has. Somebody may take it in the meantime, so a start on it is tried again.
func freeEndpoint(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + listener.Addr().String(), listener.Close()
}
