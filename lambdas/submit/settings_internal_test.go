package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// TestDefaultSettings holds the defaults, which stand in two packages, against
// each other.
func TestDefaultSettings(t *testing.T) {
	t.Parallel()
	s := boot.DefaultSettings()
	want := submit.AcceptConfig{
		Policy: retry.Default(), MaxInputBytes: batch.MaxInputBytes, MaxRequests: 50_000,
		Limits: tenant.Limits{Batches: 100, Requests: 2_000_000, Bytes: 100_000_000_000, Uploads: 100, Creates: 300},
	}
	if diff := cmp.Diff(want, acceptConfig(s)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(submit.LoadConfig{MaxRequests: 50_000, MaxEmbeddingInputs: 50_000, MaxLineBytes: batch.MaxLineBytes}, loadConfig(s)); diff != "" {
		t.Error(diff)
	}
}

// TestSettingsReachTheirUsers reads settings as the function does at its start.
func TestSettingsReachTheirUsers(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		boot.EnvMaxRetries: "unlimited", boot.EnvRetryableStatuses: "418,5xx", boot.EnvModels: "a,b",
		boot.EnvCORSOrigins: "*", boot.EnvMaxInputBytes: "7", boot.EnvMaxRequests: "8", boot.EnvMaxEmbeddingInputs: "9", boot.EnvMaxLineBytes: "67108864",
		boot.EnvTenantBatches: "0", boot.EnvTenantRequests: "0", boot.EnvTenantBytes: "1000000", boot.EnvTenantUploads: "2",
		boot.EnvTenantCreates: "3", boot.EnvExtraEndpoints: "/v1/rerank", boot.EnvJitter: "off",
	}
	s, err := boot.ReadSettings(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	policy := retry.Default()
	policy.MaxRetries, policy.Jitter, policy.Retryable = retry.Unlimited, false, retry.Statuses{{From: 418, To: 418}, {From: 500, To: 599}}
	want := submit.AcceptConfig{
		Policy: policy, ExtraEndpoints: []string{"/v1/rerank"}, MaxInputBytes: 7, MaxRequests: 8,
		Limits: tenant.Limits{Bytes: 1_000_000, Uploads: 2, Creates: 3},
	}
	if diff := cmp.Diff(want, acceptConfig(s)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(submit.LoadConfig{MaxRequests: 8, MaxEmbeddingInputs: 9, MaxLineBytes: batch.MostLineBytes}, loadConfig(s)); diff != "" {
		t.Error(diff)
	}
	config := apiConfig(s)
	if diff := cmp.Diff([]any{[]string{"a", "b"}, []string{"*"}, int64(7), want.Limits, batch.MostLineBytes, 8},
		[]any{config.Models, config.Origins, config.MaxInputBytes, config.Limits, config.MaxLineBytes, config.MaxRequests}); diff != "" {
		t.Error(diff)
	}
}
