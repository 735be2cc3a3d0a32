package boot

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
)

// ErrEnvironment reports an environment that lacks a variable or has a bad
// value; the error wrapping it names every variable at fault and how to mend it.
var ErrEnvironment = errors.New("boot: the environment is incomplete")

// A Config is what the environment says. A variable that a function does not
// need may be absent; its field is then empty.
type Config struct {
	Table                string
	Bucket               string
	QueueURL             string
	DeadLettersURL       string
	FlowARN              string
	UpstreamBaseURL      string
	UpstreamKeyParameter string
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
		Bucket:               get(EnvBucket),
		QueueURL:             get(EnvQueueURL),
		DeadLettersURL:       get(EnvDeadLettersURL),
		FlowARN:              get(EnvFlowARN),
		UpstreamBaseURL:      get(EnvUpstreamBaseURL),
		UpstreamKeyParameter: get(EnvUpstreamKeyParameter),
	}
	var errs []error
	for _, name := range needs {
		if get(name) == "" {
			errs = append(errs, fmt.Errorf("%w: %s is not set: the CDK app sets it, so deploy again", ErrEnvironment, name))
		}
	}
	groups := get(EnvMessageGroups)
	cfg.MessageGroups = groups == "on"
	if !slices.Contains([]string{"", "on", "off"}, groups) {
		errs = append(errs, fmt.Errorf(`%w: %s is neither "on" nor "off"`, ErrEnvironment, EnvMessageGroups))
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
