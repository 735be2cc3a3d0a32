package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/musketry/musketry/tools/checkout"
	"github.com/musketry/musketry/tools/wait"
)

// A pythonEngine is an engine in Python: a launch.py of ours, which mends what it must in memory, and the packages that its
// requirements.txt pins. Its folder lies below localstack, its environment below .tools.
type pythonEngine struct {
	name    string // For people.
	folder  string
	python  checkout.PythonVersion               // The oldest that it runs on.
	health  string                               // The path that answers with 200 once it is up.
	environ func(home, endpoint string) []string // What it takes beside what every engine does.
	faults  string                               // Of its Lambdas; may be empty.
	tools   checkout.Checkout
	process process
}

var _ Engine = (*pythonEngine)(nil)

// Start installs the engine into the checkout and starts it on a free port.
func (e *pythonEngine) Start(ctx context.Context) (instance, error) {
	if record, alive := e.process.alive(); alive {
		return e.instance(record)
	}
	requirements := filepath.Join(e.tools.Root, "localstack", e.folder, "requirements.txt")
	python, err := e.tools.Venv(ctx, e.folder, requirements, e.python)
	if err != nil {
		return instance{}, err
	}
	for range portTries {
		var endpoint string
		if endpoint, err = freeEndpoint(ctx); err != nil {
			return instance{}, err
		}
		if err = e.startOn(ctx, python, endpoint); err == nil {
			record, _ := e.process.alive()
			return e.instance(record)
		}
	}
	return instance{}, err
}

func (e *pythonEngine) startOn(ctx context.Context, python, endpoint string) error {
	launcher := filepath.Join(e.tools.Root, "localstack", e.folder, "launch.py")
	if err := checkout.MakeEmpty(e.home()); err != nil {
		return err
	}
	// Nothing of the caller's environment: every Lambda inherits this one, and must never reach the real AWS.
	env := append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + e.home(), "TMPDIR=" + e.home(),
	}, awsEnviron(endpoint, testCredentials)...)
	if e.faults != "" {
		env = append(env, "MUSKETRY_FAULTS="+e.faults)
	}
	if err := e.process.start(python, []string{launcher}, append(env, e.environ(e.home(), endpoint)...)); err != nil {
		return err
	}
	if err := checkout.WriteFile(filepath.Join(e.process.folder, "endpoint"), []byte(endpoint)); err != nil {
		return err
	}
	up := func() (bool, error) {
		if _, alive := e.process.alive(); !alive {
			return false, fmt.Errorf("%s ended at its start:\n%s", e.name, e.process.tail())
		}
		return answers(ctx, endpoint+e.health), nil
	}
	if err := wait.Until(ctx, engineStart, up); err != nil {
		// The next try, on another port, has a record of its own: what is left of this one must go first.
		_, stopErr := e.process.stop(context.WithoutCancel(ctx))
		return errors.Join(fmt.Errorf("start %s: %w", e.name, err), stopErr)
	}
	return nil
}

// home is the engine's own folder: all that it writes goes there, and with the engine.
func (e *pythonEngine) home() string { return filepath.Join(e.process.folder, "engine") }

func (e *pythonEngine) instance(record processRecord) (instance, error) {
	endpoint, err := checkout.ReadText(filepath.Join(e.process.folder, "endpoint"))
	id := fmt.Sprintf("%d@%s", record.PID, record.Started)
	return instance{name: e.name, endpoint: endpoint, id: id}, err
}

// Stop ends the engine with its Lambdas, which are processes of its group, and removes what it kept.
func (e *pythonEngine) Stop(ctx context.Context) (bool, error) {
	stopped, err := e.process.stop(ctx)
	if err != nil {
		return stopped, err
	}
	return stopped, os.RemoveAll(e.home())
}

// Alive looks at the recorded process.
func (e *pythonEngine) Alive(context.Context) (bool, error) {
	_, alive := e.process.alive()
	return alive, nil
}

func newMiniStack(cfg Config, tools checkout.Checkout) *pythonEngine {
	return &pythonEngine{
		name: "MiniStack", folder: "ministack", python: checkout.PythonVersion{Major: 3, Minor: 10},
		health: "/_ministack/health", tools: tools, faults: cfg.Faults,
		process: process{name: "engine", folder: cfg.State},
		environ: func(home, endpoint string) []string {
			own := []string{
				"S3_DATA_DIR=" + home, "STATE_DIR=" + home, "LAMBDA_EXECUTOR=local",
				"BIND_HOST=127.0.0.1", "GATEWAY_PORT=" + port(endpoint),
			}
			if cfg.Concurrency > 0 {
				own = append(own, "LAMBDA_ACCOUNT_CONCURRENCY="+strconv.Itoa(cfg.Concurrency))
			}
			return own
		},
	}
}

// localStackServices are those that the stack uses; LocalStack loads no other.
const localStackServices = "apigateway,cloudformation,cloudwatch,dynamodb,events,iam,lambda,logs,s3,sqs,ssm,stepfunctions,sts"

// LocalStackPython is the oldest Python that the open LocalStack runs on; it does not say so itself.
func LocalStackPython() checkout.PythonVersion { return checkout.PythonVersion{Major: 3, Minor: 13} }

// newLocalStack gives the open LocalStack in host mode, which needs no Docker.
func newLocalStack(cfg Config, tools checkout.Checkout) *pythonEngine {
	return &pythonEngine{
		name: "LocalStack", folder: "localstack", python: LocalStackPython(),
		health: localStackHealth, tools: tools, faults: cfg.Faults,
		process: process{name: "engine", folder: cfg.State},
		environ: func(home, endpoint string) []string {
			address := strings.TrimPrefix(endpoint, "http://")
			return []string{
				"GATEWAY_LISTEN=" + address, "LOCALSTACK_HOST=" + address, "SERVICES=" + localStackServices,
				"FILESYSTEM_ROOT=" + home, "LOCALSTACK_VOLUME_DIR=" + home, "OVERRIDE_IN_DOCKER=0",
				// It asks nobody outside: no news, no certificate, no count of its users, no names.
				"DISABLE_EVENTS=1", "DISABLE_UPDATES=1", "SKIP_SSL_CERT_DOWNLOAD=1", "USE_SSL=0", "DNS_ADDRESS=0",
				// A queue is asked again at once, or a fifth of a second after it was empty: AWS long-polls.
				"LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC=0.01",
				"LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC=0.2",
			}
		},
	}
}

// port gives the port of an endpoint that freeEndpoint made.
func port(endpoint string) string {
	_, p, _ := net.SplitHostPort(strings.TrimPrefix(endpoint, "http://"))
	return p
}
