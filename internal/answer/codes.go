package answer

import (
	"strconv"
	"strings"
)

// A Code is what an error's code, in all its spellings, means as an HTTP status.
type Code struct {
	Status int
	Names  []string // as plain writes them, without "_error" or "_exception" at the end
}

// Codes returns the codes that are known by name: OpenAI's, Anthropic's, Google's, AWS's, and those of servers that
// people run themselves.
func Codes() []Code {
	return []Code{
		{429, []string{
			"rate_limit_exceeded", "rate_limit", "rate_limited", "ratelimit", "too_many_requests", "resource_exhausted", "throttling", "throttled",
			"tokens", "requests", "insufficient_quota", "quota_exceeded", "exceeded_current_quota", "exceeded_quota", "limit_exceeded",
			"rate_limit_reached", "limit_requests", "limit_tokens", "limit_burst_rate", "throttling_rate_quota", "throttling_allocation_quota",
		}},
		{503, []string{
			"overloaded", "engine_overloaded", "server_overloaded", "model_overloaded", "service_unavailable", "unavailable", "slow_down",
			"temporarily_unavailable", "capacity_exceeded", "service_tier_capacity_exceeded", "no_capacity", "model_not_ready", "insufficient_system_resource",
			"server_busy", "busy",
		}},
		{500, []string{
			"server", "internal", "internal_server", "internal_failure", "api", "generation", "incomplete_generation", "model",
			"inference", "upstream_failure", "internal_service",
		}},
		{502, []string{"bad_gateway", "upstream", "provider", "provider_unavailable", "network"}},
		{504, []string{"gateway_timeout", "deadline_exceeded", "model_timeout", "vector_store_timeout"}},
		{408, []string{"timeout", "request_timeout", "api_timeout", "timed_out"}},
		{409, []string{"conflict", "aborted"}},
		{400, []string{
			"invalid_request", "bad_request", "invalid_argument", "failed_precondition", "out_of_range", "validation",
			"context_length_exceeded", "context_window_exceeded", "content_filter", "content_policy_violation", "image_content_policy_violation",
			"string_above_max_length", "image_too_large", "image_too_small", "image_parse", "image_file_too_large", "empty_image_file",
			"failed_to_download_image", "image_file_not_found", "unknown_parameter", "missing_required_parameter", "responsible_ai_policy_violation",
			"moderation_blocked", "sanitizer_server", "data_inspection_failed", "exceed_context_size",
		}},
		{401, []string{"authentication", "unauthorized", "unauthenticated", "invalid_api_key", "incorrect_api_key", "invalid_authentication"}},
		{402, []string{"payment_required", "insufficient_balance", "insufficient_credits", "billing", "billing_not_active"}},
		{403, []string{"permission", "permission_denied", "forbidden", "access_denied", "unsupported_country_region_territory"}},
		{404, []string{"not_found", "model_not_found", "resource_not_found", "deployment_not_found", "model_not_exist"}},
		{413, []string{"request_too_large", "payload_too_large"}},
		{422, []string{"unprocessable_entity", "unprocessable"}},
		{499, []string{"client_closed_request"}},
		{501, []string{"unimplemented", "not_implemented"}},
	}
}

// statuses are the statuses that names of codes mean.
//
//nolint:gochecknoglobals // never changed
var statuses = byName(Codes())

func byName(codes []Code) map[string]int {
	statuses := make(map[string]int)
	for _, c := range codes {
		for _, name := range c.Names {
			statuses[name] = c.Status
		}
	}
	return statuses
}

// statusOf returns what an error's code means as a status; 0 if it is not known. A number, also in quotes, is one itself.
func statusOf(code string) int {
	if code == "" {
		return 0
	}
	if n, err := strconv.Atoi(strings.TrimSpace(code)); err == nil {
		if n >= 400 && n <= 599 {
			return n
		}
		return 0
	}
	word := plain(code)
	for _, end := range []string{"_error", "_exception"} {
		word = strings.TrimSuffix(word, end)
	}
	if status, ok := statuses[word]; ok {
		return status
	}
	if strings.HasPrefix(word, "invalid_") || strings.HasPrefix(word, "unsupported_") {
		return 400
	}
	return 0
}
