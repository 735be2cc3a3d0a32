package boot

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/musketry/musketry/internal/route"
)

// ErrEnvironment reports an environment that lacks a variable or has a bad
// value; the error wrapping it names every variable at fault and how to mend it.
var ErrEnvironment = errors.New("boot: the environment is incomplete")

// A Config is what the environment says. A variable that a function does not
// need may be absent; its field is then empty.
type Config struct {
	Table                string
	AdminTable           string
	Bucket               string
	QueueURL             string
	DeadLettersURL       string
	FlowARN              string
	UpstreamBaseURL      string
	UpstreamKeyParameter string
	KeyPrefix            string
	UpstreamAllowPrivate bool
	UpstreamCA           *x509.CertPool // nil: the system's alone
	Stack                string
	MessageGroups        bool
	LogLevel             slog.Level
	Settings             Settings
}

// FromEnv reads the environment of this process, of which the variables in
// needs must be set. It returns an error wrapping ErrEnvironment otherwise.
func FromEnv(needs ...string) (Config, error) { return Read(os.LookupEnv, needs...) }

// Read reads the environment that lookup gives, as FromEnv does.
func Read(lookup func(name string) (string, bool), needs ...string) (Config, error) {
	get := func(name string) string {
		value, _ := lookup(name)
		return strings.TrimSpace(value)
	}
	cfg := Config{
		Table:                get(EnvTable),
		AdminTable:           get(EnvAdminTable),
		Bucket:               get(EnvBucket),
		QueueURL:             get(EnvQueueURL),
		DeadLettersURL:       get(EnvDeadLettersURL),
		FlowARN:              get(EnvFlowARN),
		UpstreamBaseURL:      get(EnvUpstreamBaseURL),
		UpstreamKeyParameter: get(EnvUpstreamKeyParameter),
		KeyPrefix:            get(EnvKeyPrefix),
		Stack:                get(EnvStack),
	}
	var errs []error
	for _, name := range needs {
		if get(name) == "" {
			errs = append(errs, fmt.Errorf("%w: %s is not set: the CDK app sets it, so deploy again", ErrEnvironment, name))
		}
	}
	for name, into := range map[string]*bool{EnvMessageGroups: &cfg.MessageGroups, EnvUpstreamAllowPrivate: &cfg.UpstreamAllowPrivate} {
		value := get(name)
		*into = value == "on"
		if !slices.Contains([]string{"", "on", "off"}, value) {
			errs = append(errs, fmt.Errorf(`%w: %s is neither "on" nor "off"`, ErrEnvironment, name))
		}
	}
	if bundle := get(EnvUpstreamCA); bundle != "" {
		var err error
		if cfg.UpstreamCA, err = Authorities(bundle); err != nil {
			errs = append(errs, fmt.Errorf("%w: %s %w", ErrEnvironment, EnvUpstreamCA, err))
		}
	}
	if level := get(EnvLogLevel); level != "" && cfg.LogLevel.UnmarshalText([]byte(level)) != nil {
		errs = append(errs, fmt.Errorf("%w: %s is none of DEBUG, INFO, WARN, ERROR", ErrEnvironment, EnvLogLevel))
	}
	var err error
	if cfg.Settings, err = ReadSettings(get); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrEnvironment, err))
	}
	return cfg, errors.Join(errs...)
}

// DefaultModels returns the model of the default route, and none if the deployment
// has no such route. It returns an error wrapping ErrEnvironment if calls cannot go
// there.
func (c Config) DefaultModels() ([]route.Model, error) {
	if c.UpstreamBaseURL == "" {
		return nil, nil
	}
	if err := route.CheckBaseURL(c.UpstreamBaseURL, c.UpstreamAllowPrivate); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrEnvironment, EnvUpstreamBaseURL, err)
	}
	return []route.Model{route.DefaultModel(c.UpstreamBaseURL, c.UpstreamAllowPrivate)}, nil
}
