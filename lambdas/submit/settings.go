package main

import (
	"fmt"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// acceptConfig says what s is to whoever takes orders. It returns an error
// wrapping retry.ErrPolicy if the retries make no sense.
func acceptConfig(s boot.Settings) (submit.AcceptConfig, error) {
	statuses, err := retry.ParseStatuses(s.RetryableStatuses)
	if err != nil {
		return submit.AcceptConfig{}, fmt.Errorf("submit: %s: %w", boot.EnvRetryableStatuses, err)
	}
	policy := retry.Policy{
		MaxRetries: s.MaxRetries, StopBeforeDeadline: s.StopBeforeDeadline, Backoff: s.Backoff, Factor: s.BackoffFactor,
		MaxBackoff: s.MaxBackoff, Jitter: s.Jitter, Retryable: statuses,
	}
	if s.MaxRetries == boot.UnlimitedRetries {
		policy.MaxRetries = retry.Unlimited
	}
	if err := policy.Validate(); err != nil {
		return submit.AcceptConfig{}, fmt.Errorf("submit: %w", err)
	}
	return submit.AcceptConfig{
		Policy: policy, ExtraEndpoints: s.ExtraEndpoints, MaxInputBytes: s.MaxInputBytes, MaxRequests: s.MaxRequests,
		Limits: limits(s),
	}, nil
}

// limits says what a tenant may have of s's.
func limits(s boot.Settings) tenant.Limits {
	return tenant.Limits{
		Batches: s.TenantBatches, Requests: s.TenantRequests,
		Bytes: s.TenantBytes, Uploads: s.TenantUploads, Creates: s.TenantCreates,
	}
}

// loadConfig says what s is to the loader.
func loadConfig(s boot.Settings) submit.LoadConfig {
	return submit.LoadConfig{MaxRequests: s.MaxRequests, MaxEmbeddingInputs: s.MaxEmbeddingInputs}
}

// apiConfig says what s is to the API.
func apiConfig(s boot.Settings) api.Config {
	return api.Config{
		Room: room, BatchLife: boot.Retention, MaxInputBytes: s.MaxInputBytes, Models: s.Models, Origins: s.CORSOrigins,
		Limits: limits(s),
	}
}
