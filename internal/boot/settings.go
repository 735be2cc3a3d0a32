package boot

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of the environment variables by which a deployment chooses its limits and its retries. All may be absent. They
// are the submit function's: what a batch needs of them is stored with it.
const (
	// EnvMaxRequests is the most requests of a batch, 1 to 1,000,000.
	EnvMaxRequests = "MUSKETRY_MAX_REQUESTS"
	// EnvMaxInputBytes is the largest input file of a batch in bytes, 1 to 5,000,000,000.
	EnvMaxInputBytes = "MUSKETRY_MAX_INPUT_BYTES"
	// EnvMaxEmbeddingInputs is the most inputs of a batch for /v1/embeddings, 1 to 50,000,000.
	EnvMaxEmbeddingInputs = "MUSKETRY_MAX_EMBEDDING_INPUTS"
	// EnvTenantBatches is the most unfinished batches of a tenant, 0 (no limit) to 5,000.
	EnvTenantBatches = "MUSKETRY_TENANT_BATCHES"
	// EnvTenantRequests is the most requests of a tenant's unfinished batches: 0 (no limit), or EnvMaxRequests to
	// 1,000,000,000.
	EnvTenantRequests = "MUSKETRY_TENANT_REQUESTS"
	// EnvTenantBytes is what a tenant's files and open uploads may have in bytes, 0 (no limit) or 1,000,000 to
	// 1,000,000,000,000,000.
	EnvTenantBytes = "MUSKETRY_TENANT_BYTES"
	// EnvTenantUploads is the most open uploads of a tenant, 0 (no limit) to 1,000.
	EnvTenantUploads = "MUSKETRY_TENANT_UPLOADS"
	// EnvTenantCreates is the most files, uploads and batches that a tenant creates in a minute, 0 (no limit) to 100,000.
	EnvTenantCreates = "MUSKETRY_TENANT_CREATES"
	// EnvAllowance is the most messages of all batches that may be in flight, 1,000 to 100,000. It is the finalize function's.
	EnvAllowance = "MUSKETRY_ALLOWANCE"
	// EnvExtraEndpoints names endpoints that are taken besides OpenAI's, such as /v1/rerank, with commas between them.
	EnvExtraEndpoints = "MUSKETRY_EXTRA_ENDPOINTS"
	// EnvModels names what GET /v1/models lists, with commas between them. Execute has it too: its metrics name no other.
	EnvModels = "MUSKETRY_MODELS"
	// EnvCORSOrigins names the origins whose pages may call the API, with commas between them; * for all.
	EnvCORSOrigins = "MUSKETRY_CORS_ORIGINS"
	// EnvMaxRetries is the most retries of a request: "unlimited", or 0 to 1,000,000.
	EnvMaxRetries = "MUSKETRY_MAX_RETRIES"
	// EnvBackoff is the first backoff, 1ms to 1h.
	EnvBackoff = "MUSKETRY_BACKOFF"
	// EnvBackoffFactor is the growth of each backoff over the last, 1 to 100.
	EnvBackoffFactor = "MUSKETRY_BACKOFF_FACTOR"
	// EnvMaxBackoff is the longest backoff, EnvBackoff to 1h.
	EnvMaxBackoff = "MUSKETRY_MAX_BACKOFF"
	// EnvJitter is "on" to wait a random part of a backoff, "off" to wait all of it.
	EnvJitter = "MUSKETRY_JITTER"
	// EnvStopBeforeDeadline is how long before its batch's deadline no retry of a request is begun, 0 to 168h.
	EnvStopBeforeDeadline = "MUSKETRY_STOP_BEFORE_DEADLINE"
	// EnvRetryableStatuses names the HTTP statuses that are tried again, such as 429,5xx.
	EnvRetryableStatuses = "MUSKETRY_RETRYABLE_STATUSES"
)

// UnlimitedRetries stands for no cap of retries.
const UnlimitedRetries = -1

// The bounds of lists, in bytes: a function's environment has 4 KB in all
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
const (
	longestModels = 1500
	longestList   = 500
)

const longestBackoff = time.Hour

// Settings are a deployment's limits and retries.
type Settings struct {
	MaxRequests        int
	MaxInputBytes      int64
	MaxEmbeddingInputs int
	TenantBatches      int   // 0: no limit
	TenantRequests     int   // 0: no limit
	TenantBytes        int64 // 0: no limit
	TenantUploads      int   // 0: no limit
	TenantCreates      int   // a minute; 0: no limit
	Allowance          int
	ExtraEndpoints     []string
	Models             []string
	CORSOrigins        []string
	MaxRetries         int // or UnlimitedRetries
	Backoff            time.Duration
	BackoffFactor      float64
	MaxBackoff         time.Duration
	Jitter             bool
	StopBeforeDeadline time.Duration
	RetryableStatuses  string // such as "429,5xx"
}

// DefaultSettings returns those of a deployment that chooses nothing.
func DefaultSettings() Settings {
	return Settings{
		MaxRequests: 50_000, MaxInputBytes: 200 << 20, MaxEmbeddingInputs: 50_000, // OpenAI's own
		TenantBatches: 100, TenantRequests: 2_000_000, Allowance: 60_000,
		TenantBytes: 100_000_000_000, TenantUploads: 100, TenantCreates: 300,
		MaxRetries: 1000, Backoff: time.Second, BackoffFactor: 2, MaxBackoff: time.Minute, Jitter: true,
		RetryableStatuses: "408,425,429,499,5xx",
	}
}

// A SettingName is what a setting is called in the CDK's context, and in the
// environment.
type SettingName struct{ Context, Env string }

// SettingNames returns the names of all settings.
func SettingNames() []SettingName {
	return []SettingName{
		{"maxRequests", EnvMaxRequests},
		{"maxInputBytes", EnvMaxInputBytes},
		{"maxEmbeddingInputs", EnvMaxEmbeddingInputs},
		{"tenantBatches", EnvTenantBatches},
		{"tenantRequests", EnvTenantRequests},
		{"tenantBytes", EnvTenantBytes},
		{"tenantUploads", EnvTenantUploads},
		{"tenantCreates", EnvTenantCreates},
		{"allowance", EnvAllowance},
		{"extraEndpoints", EnvExtraEndpoints},
		{"models", EnvModels},
		{"corsOrigins", EnvCORSOrigins},
		{"maxRetries", EnvMaxRetries},
		{"backoff", EnvBackoff},
		{"backoffFactor", EnvBackoffFactor},
		{"maxBackoff", EnvMaxBackoff},
		{"jitter", EnvJitter},
		{"stopBeforeDeadline", EnvStopBeforeDeadline},
		{"retryableStatuses", EnvRetryableStatuses},
	}
}

// ReadSettings reads the settings that get returns by their names in the
// environment; one that is empty has its default. The error joins one for each
// bad value, which names it and its bounds.
func ReadSettings(get func(name string) string) (Settings, error) {
	s := DefaultSettings()
	r := settingReader{get: get}
	r.number(EnvMaxRequests, 1, 1_000_000, &s.MaxRequests)
	bytes := int(s.MaxInputBytes)
	r.number(EnvMaxInputBytes, 1, 5_000_000_000, &bytes)
	s.MaxInputBytes = int64(bytes)
	r.number(EnvMaxEmbeddingInputs, 1, 50_000_000, &s.MaxEmbeddingInputs)
	r.number(EnvTenantBatches, 0, 5_000, &s.TenantBatches)
	r.number(EnvTenantRequests, 0, 1_000_000_000, &s.TenantRequests)
	if s.TenantRequests > 0 && s.TenantRequests < s.MaxRequests {
		r.fail("%s is %d: want 0 (no limit), or no less than %s (%d), so that every batch can be taken",
			EnvTenantRequests, s.TenantRequests, EnvMaxRequests, s.MaxRequests)
	}
	r.storage(&s)
	r.number(EnvAllowance, 1_000, 100_000, &s.Allowance)
	r.list(EnvExtraEndpoints, longestList, `^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`, "paths such as /v1/rerank", &s.ExtraEndpoints)
	r.list(EnvModels, longestModels, `^[!-+\--~]+$`, "names without spaces", &s.Models)
	r.list(EnvCORSOrigins, longestList, `^(\*|https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)$`, "origins such as https://app.example.com, or *", &s.CORSOrigins)
	if r.text(EnvMaxRetries) == "unlimited" {
		s.MaxRetries = UnlimitedRetries
	} else {
		r.number(EnvMaxRetries, 0, 1_000_000, &s.MaxRetries)
	}
	r.retries(&s)
	return s, errors.Join(r.errs...)
}

func (r *settingReader) storage(s *Settings) {
	stored := int(s.TenantBytes)
	r.number(EnvTenantBytes, 0, 1_000_000_000_000_000, &stored)
	if s.TenantBytes = int64(stored); stored > 0 && stored < 1_000_000 {
		r.fail("%s is %d: want 0 (no limit), or no less than 1000000", EnvTenantBytes, stored)
	}
	r.number(EnvTenantUploads, 0, 1_000, &s.TenantUploads)
	r.number(EnvTenantCreates, 0, 100_000, &s.TenantCreates)
}

func (r *settingReader) retries(s *Settings) {
	r.duration(EnvBackoff, time.Millisecond, longestBackoff, &s.Backoff)
	r.duration(EnvMaxBackoff, time.Millisecond, longestBackoff, &s.MaxBackoff)
	if s.MaxBackoff < s.Backoff {
		r.fail("%s is %v: want no less than %s (%v)", EnvMaxBackoff, s.MaxBackoff, EnvBackoff, s.Backoff)
	}
	if text := r.text(EnvBackoffFactor); text != "" {
		factor, err := strconv.ParseFloat(text, 64)
		if err != nil || !(factor >= 1 && factor <= 100) {
			r.fail("%s is %.64q: want a number from 1 to 100", EnvBackoffFactor, text)
		}
		s.BackoffFactor = factor
	}
	r.duration(EnvStopBeforeDeadline, 0, 168*time.Hour, &s.StopBeforeDeadline)
	if text := r.text(EnvJitter); text != "" {
		s.Jitter = text == "on"
		if !slices.Contains([]string{"on", "off"}, text) {
			r.fail(`%s is %.64q: want "on" or "off"`, EnvJitter, text)
		}
	}
	var statuses []string
	r.list(EnvRetryableStatuses, longestList, `^[1-5]([0-9][0-9]|xx)$`, "statuses such as 429, or classes such as 5xx", &statuses)
	if len(statuses) > 0 {
		s.RetryableStatuses = strings.Join(statuses, ",")
	}
}

// A settingReader reads settings and gathers their errors.
type settingReader struct {
	get  func(name string) string
	errs []error
}

func (r *settingReader) text(name string) string { return strings.TrimSpace(r.get(name)) }

func (r *settingReader) fail(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

func (r *settingReader) number(name string, least, most int, into *int) {
	text := r.text(name)
	if text == "" {
		return
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		r.fail("%s is %.64q: want an integer from %d to %d", name, text, least, most)
		return
	}
	*into = n
}

func (r *settingReader) duration(name string, least, most time.Duration, into *time.Duration) {
	text := r.text(name)
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		r.fail("%s is %.64q: want a duration from %v to %v, such as 1.5s", name, text, least, most)
		return
	}
	*into = d
}

func (r *settingReader) list(name string, longest int, form, want string, into *[]string) {
	text := r.text(name)
	if text == "" {
		return
	}
	if len(text) > longest {
		r.fail("%s has %d bytes: want at most %d", name, len(text), longest)
		return
	}
	pattern := regexp.MustCompile(form)
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		if !pattern.MatchString(entry) {
			r.fail("%s has %.64q: want %s, with commas between them", name, entry, want)
			continue
		}
		*into = append(*into, entry)
	}
}
