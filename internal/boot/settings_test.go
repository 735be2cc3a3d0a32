package boot_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/retry"
)

func settings(env map[string]string) (boot.Settings, error) {
	return boot.ReadSettings(func(name string) string { return env[name] })
}

func TestSettings(t *testing.T) {
	t.Parallel()
	got, err := settings(nil)
	if diff := cmp.Diff(boot.DefaultSettings(), got); diff != "" || err != nil {
		t.Errorf("without any: %v %s", err, diff)
	}
	got, err = settings(map[string]string{
		boot.EnvMaxRequests: " 1000000 ", boot.EnvMaxInputBytes: "5000000000", boot.EnvMaxEmbeddingInputs: "7", boot.EnvMaxLineBytes: "1000",
		boot.EnvTenantBatches: "0", boot.EnvTenantRequests: "1000000", boot.EnvExtraEndpoints: "/v1/rerank, /v2/x",
		boot.EnvModels: "gpt-5,vendor/m:1", boot.EnvCORSOrigins: "https://a.example,http://localhost:3000",
		boot.EnvMaxRetries: "unlimited", boot.EnvBackoff: "500ms", boot.EnvBackoffFactor: "1.5", boot.EnvMaxBackoff: "1h",
		boot.EnvTenantBytes: "1000000", boot.EnvTenantUploads: "0", boot.EnvTenantCreates: "7",
		boot.EnvAllowance: "1000", boot.EnvPlaces: "900", boot.EnvLoadRate: "100",
		boot.EnvJitter: "off", boot.EnvStopBeforeDeadline: "168h", boot.EnvRetryableStatuses: "404,5xx",
		boot.EnvInvalidRetries: "0",
	})
	want := boot.Settings{
		MaxRequests: 1_000_000, MaxInputBytes: 5_000_000_000, MaxEmbeddingInputs: 7, MaxLineBytes: 1_000, TenantRequests: 1_000_000,
		TenantBytes: 1_000_000, TenantCreates: 7, Allowance: 1_000, Places: 900, LoadRate: 100,
		ExtraEndpoints: []string{"/v1/rerank", "/v2/x"}, Models: []string{"gpt-5", "vendor/m:1"},
		CORSOrigins: []string{"https://a.example", "http://localhost:3000"},
		Retries: retry.Policy{
			MaxRetries: retry.Unlimited, Backoff: 500 * time.Millisecond, Factor: 1.5, MaxBackoff: time.Hour,
			StopBeforeDeadline: 168 * time.Hour, Retryable: retry.Statuses{{From: 404, To: 404}, {From: 500, To: 599}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("with all: %v %s", err, diff)
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	bad := map[string][]string{
		boot.EnvMaxRequests:        {"0", "1000001", "many", "-1", "1e3", "99999999999999999999"},
		boot.EnvMaxInputBytes:      {"0", "5000000001"},
		boot.EnvMaxEmbeddingInputs: {"0", "50000001"},
		boot.EnvMaxLineBytes:       {"0", "999", "67108865"},
		boot.EnvTenantBatches:      {"-1", "5001"},
		boot.EnvTenantRequests:     {"-1", "49999", "1000000001"},
		boot.EnvTenantBytes:        {"-1", "999999", "1000000000000001"},
		boot.EnvTenantUploads:      {"-1", "1001"},
		boot.EnvTenantCreates:      {"-1", "100001"},
		boot.EnvAllowance:          {"999", "100001", "0"},
		boot.EnvLoadRate:           {"0", "99", "40001", "3000.5"},
		boot.EnvPlaces:             {"0", "901"},
		boot.EnvExtraEndpoints:     {"v1/x", "/v1/x,", "/v1/../x", "/v1/./x", "/v1//x", "/v1/x/", "/", "/a b", "/" + strings.Repeat("x", 500)},
		boot.EnvModels:             {"a b", "a,,b", strings.Repeat("m", 1501)},
		boot.EnvCORSOrigins:        {"example.com", "https://a.example/", "ftp://x", "https://a:b:c"},
		boot.EnvMaxRetries:         {"-1", "1000001", "none"},
		boot.EnvBackoff:            {"0s", "61m", "1"},
		boot.EnvBackoffFactor:      {"0.9", "101", "NaN", "x"},
		boot.EnvMaxBackoff:         {"999ms", "2h"},
		boot.EnvJitter:             {"true"},
		boot.EnvStopBeforeDeadline: {"-1s", "169h"},
		boot.EnvInvalidRetries:     {"-1", "1001", "unlimited"},
		boot.EnvRetryableStatuses:  {"6xx", "42", "429;500", "5XX,"},
	}
	for _, name := range boot.Choices() {
		if len(bad[name.Env]) == 0 {
			t.Errorf("no bad value of %s is tried", name.Env)
		}
		for _, value := range bad[name.Env] {
			if _, err := settings(map[string]string{name.Env: value}); err == nil || !strings.Contains(err.Error(), name.Env) {
				t.Errorf("%s = %.40q: error %v, want one that names it", name.Env, value, err)
			}
		}
	}
	all := map[string]string{boot.EnvJitter: "?", boot.EnvBackoff: "?"}
	_, err := boot.Read(func(name string) (string, bool) { v, ok := all[name]; return v, ok })
	if !errors.Is(err, boot.ErrEnvironment) || !strings.Contains(err.Error(), boot.EnvJitter) || !strings.Contains(err.Error(), boot.EnvBackoff) {
		t.Errorf("two bad ones: %v", err)
	}
}
