package main

import (
	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// acceptConfig says what s is to whoever takes orders.
func acceptConfig(s boot.Settings) submit.AcceptConfig {
	return submit.AcceptConfig{
		Policy: s.Retries, ExtraEndpoints: s.ExtraEndpoints, MaxInputBytes: s.MaxInputBytes, MaxRequests: s.MaxRequests,
		Limits: limits(s),
	}
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
	return submit.LoadConfig{MaxRequests: s.MaxRequests, MaxEmbeddingInputs: s.MaxEmbeddingInputs, MaxLineBytes: s.MaxLineBytes}
}

// apiConfig says what s is to the API.
func apiConfig(s boot.Settings) api.Config {
	return api.Config{
		Room: room, BatchLife: batch.Retention, MaxInputBytes: s.MaxInputBytes, Models: s.Models, Origins: s.CORSOrigins,
		Limits: limits(s), MaxLineBytes: s.MaxLineBytes, MaxRequests: s.MaxRequests,
	}
}
