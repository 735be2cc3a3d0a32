package boot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/retry"
)

// Names of the environment variables by which a deployment chooses its limits and its retries. All may be absent. What a
// batch needs of them is stored with it. Choices says which functions have which, and what each may be.
const (
	EnvMaxRequests        = "MUSKETRY_MAX_REQUESTS"         // most requests of a batch
	EnvMaxInputBytes      = "MUSKETRY_MAX_INPUT_BYTES"      // largest input file of a batch, in bytes
	EnvMaxEmbeddingInputs = "MUSKETRY_MAX_EMBEDDING_INPUTS" // most inputs of a batch for /v1/embeddings
	EnvMaxLineBytes       = "MUSKETRY_MAX_LINE_BYTES"       // longest line of an input file, in bytes
	EnvTenantBatches      = "MUSKETRY_TENANT_BATCHES"       // most unfinished batches of a tenant
	EnvTenantRequests     = "MUSKETRY_TENANT_REQUESTS"      // most requests of a tenant's unfinished batches
	EnvTenantBytes        = "MUSKETRY_TENANT_BYTES"         // most bytes of a tenant's files and open uploads
	EnvTenantUploads      = "MUSKETRY_TENANT_UPLOADS"       // most open uploads of a tenant
	EnvTenantCreates      = "MUSKETRY_TENANT_CREATES"       // most files, uploads and batches that a tenant creates in a minute
	EnvAllowance          = "MUSKETRY_ALLOWANCE"            // most messages of all batches in flight
	EnvExtraEndpoints     = "MUSKETRY_EXTRA_ENDPOINTS"      // endpoints that are taken besides OpenAI's
	EnvLoadRate           = "MUSKETRY_LOAD_RATE"            // most requests that one load inserts in a second
	EnvPlaces             = "MUSKETRY_PLACES"               // most calls of one invocation of execute at once
	EnvModels             = "MUSKETRY_MODELS"               // what GET /v1/models lists; metrics name no other
	EnvCORSOrigins        = "MUSKETRY_CORS_ORIGINS"         // origins whose pages may call the API, or *
	EnvMaxRetries         = "MUSKETRY_MAX_RETRIES"          // most retries of a request
	EnvBackoff            = "MUSKETRY_BACKOFF"              // the first backoff
	EnvBackoffFactor      = "MUSKETRY_BACKOFF_FACTOR"       // the growth of each backoff over the last
	EnvMaxBackoff         = "MUSKETRY_MAX_BACKOFF"          // the longest backoff
	EnvJitter             = "MUSKETRY_JITTER"               // whether a random part of a backoff is waited, or all of it
	EnvStopBeforeDeadline = "MUSKETRY_STOP_BEFORE_DEADLINE" // how long before its batch's deadline no retry of a request is begun
	EnvRetryableStatuses  = "MUSKETRY_RETRYABLE_STATUSES"   // the HTTP statuses that are tried again
	EnvInvalidRetries     = "MUSKETRY_INVALID_RETRIES"      // most retries of a request after answers that are none
)

// The bounds of lists, in bytes: a function's environment has 4 KB in all
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
const (
	longestModels = 1500
	longestList   = 500
)

// Settings are a deployment's limits and retries.
type Settings struct {
	MaxRequests        int
	MaxInputBytes      int64
	MaxEmbeddingInputs int
	MaxLineBytes       int
	TenantBatches      int   // 0: no limit
	TenantRequests     int   // 0: no limit
	TenantBytes        int64 // 0: no limit
	TenantUploads      int   // 0: no limit
	TenantCreates      int   // a minute; 0: no limit
	Allowance          int
	LoadRate           int // requests inserted a second
	Places             int
	ExtraEndpoints     []string
	Models             []string
	CORSOrigins        []string
	Retries            retry.Policy
}

// DefaultSettings returns those of a deployment that chooses nothing.
func DefaultSettings() Settings {
	return Settings{
		MaxRequests: 50_000, MaxInputBytes: 200 << 20, MaxEmbeddingInputs: 50_000, // OpenAI's own
		MaxLineBytes:  32 << 20,
		TenantBatches: 100, TenantRequests: 2_000_000, Allowance: 60_000, Places: 250, LoadRate: 3_000,
		TenantBytes: 100_000_000_000, TenantUploads: 100, TenantCreates: 300,
		Retries: retry.Default(),
	}
}

// A Choice is what a deployment may choose.
type Choice struct {
	Context   string   // its name in the CDK's context
	Env       string   // its name in the environment
	Functions []string // that have it: submit, execute or finalize

	form
}

// Bounds returns what the choice may be, for a person.
func (c Choice) Bounds() string { return c.bounds }

// Choices returns all choices, in the order of docs/configuration.md.
func Choices() []Choice {
	submit := []string{"submit"}
	return slices.Concat(choicesOfLimits(submit), choicesOfTheAPI(submit), choicesOfRetries(submit))
}

func choicesOfLimits(submit []string) []Choice {
	return []Choice{
		{"maxRequests", EnvMaxRequests, submit, number(1, 1_000_000, func(s *Settings) *int { return &s.MaxRequests })},
		{"maxInputBytes", EnvMaxInputBytes, submit, number(1, 5_000_000_000, func(s *Settings) *int64 { return &s.MaxInputBytes })},
		{
			"maxEmbeddingInputs", EnvMaxEmbeddingInputs, submit,
			number(1, 50_000_000, func(s *Settings) *int { return &s.MaxEmbeddingInputs }),
		},
		{"maxLineBytes", EnvMaxLineBytes, submit, number(1_000, 64<<20, func(s *Settings) *int { return &s.MaxLineBytes })},
		{"tenantBatches", EnvTenantBatches, submit, limit(0, 5_000, func(s *Settings) *int { return &s.TenantBatches })},
		{"tenantRequests", EnvTenantRequests, submit, tenantRequests()},
		{
			"tenantBytes", EnvTenantBytes, submit,
			limit(1_000_000, 1_000_000_000_000_000, func(s *Settings) *int64 { return &s.TenantBytes }),
		},
		{"tenantUploads", EnvTenantUploads, submit, limit(0, 1_000, func(s *Settings) *int { return &s.TenantUploads })},
		{"tenantCreates", EnvTenantCreates, submit, limit(0, 100_000, func(s *Settings) *int { return &s.TenantCreates })},
		{
			"allowance", EnvAllowance,
			[]string{"submit", "finalize"},
			number(1_000, 100_000, func(s *Settings) *int { return &s.Allowance }),
		},
		// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html has 40,000 write units a second of a table
		{"loadRate", EnvLoadRate, submit, number(100, 40_000, func(s *Settings) *int { return &s.LoadRate })},
		// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html has 1,024 file descriptors
		{"places", EnvPlaces, []string{"execute"}, number(1, 900, func(s *Settings) *int { return &s.Places })},
	}
}

func choicesOfTheAPI(submit []string) []Choice {
	return []Choice{
		{
			"extraEndpoints", EnvExtraEndpoints, submit,
			list(longestList, `^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`, "paths such as /v1/rerank", func(s *Settings, paths []string) error {
				s.ExtraEndpoints = paths
				return nil
			}),
		},
		{
			"models", EnvModels,
			[]string{"submit", "execute"},
			list(longestModels, `^[!-+\--~]+$`, "names without spaces", func(s *Settings, names []string) error {
				s.Models = names
				return nil
			}),
		},
		{
			"corsOrigins", EnvCORSOrigins, submit,
			list(longestList, `^(\*|https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)$`, "origins such as https://app.example.com, or *",
				func(s *Settings, origins []string) error {
					s.CORSOrigins = origins
					return nil
				}),
		},
	}
}

func choicesOfRetries(submit []string) []Choice {
	return []Choice{
		{"maxRetries", EnvMaxRetries, submit, maxRetries()},
		{"invalidRetries", EnvInvalidRetries, submit, number(0, 1000, func(s *Settings) *int { return &s.Retries.MaxInvalid })},
		{"backoff", EnvBackoff, submit, duration("1ms", "1h", func(s *Settings) *time.Duration { return &s.Retries.Backoff })},
		{"backoffFactor", EnvBackoffFactor, submit, backoffFactor()},
		{"maxBackoff", EnvMaxBackoff, submit, maxBackoff()},
		{"jitter", EnvJitter, submit, jitter()},
		{
			"stopBeforeDeadline", EnvStopBeforeDeadline, submit,
			duration("0s", "168h", func(s *Settings) *time.Duration { return &s.Retries.StopBeforeDeadline }),
		},
		{
			"retryableStatuses", EnvRetryableStatuses, submit,
			list(longestList, `^[1-5]([0-9][0-9]|xx)$`, "statuses such as 429, or classes such as 5xx",
				func(s *Settings, statuses []string) (err error) {
					s.Retries.Retryable, err = retry.ParseStatuses(strings.Join(statuses, ","))
					return err
				}),
		},
	}
}

// ReadSettings reads the settings that get returns by their names in the
// environment; one that is empty has its default. The error joins one for each
// bad value, which names it and its bounds.
func ReadSettings(get func(name string) string) (Settings, error) {
	s := DefaultSettings()
	var errs []error
	for _, c := range Choices() {
		if text := strings.TrimSpace(get(c.Env)); text != "" {
			if err := c.read(text, &s); err != nil {
				errs = append(errs, fmt.Errorf("%s %w", c.Env, err))
			}
		}
	}
	if s.TenantRequests > 0 && s.TenantRequests < s.MaxRequests {
		errs = append(errs, fmt.Errorf("%s is %d: want 0 (none), or no less than %s (%d), so that every batch can be taken",
			EnvTenantRequests, s.TenantRequests, EnvMaxRequests, s.MaxRequests))
	}
	if s.Retries.MaxBackoff < s.Retries.Backoff {
		errs = append(errs, fmt.Errorf("%s is %v: want no less than %s (%v)",
			EnvMaxBackoff, s.Retries.MaxBackoff, EnvBackoff, s.Retries.Backoff))
	}
	return s, errors.Join(errs...)
}
