package batch

import (
	"fmt"
	"slices"
	"strings"
)

// EndpointEmbeddings is the endpoint whose requests may have many inputs each
// (https://platform.openai.com/docs/api-reference/embeddings/create).
const EndpointEmbeddings = "/v1/embeddings"

// EndpointVideos is the one of OpenAI's endpoints that takes no batches here: its
// answer is a job that is not done yet, which somebody would have to ask for.
const EndpointVideos = "/v1/videos"

const (
	endpointResponses   = "/v1/responses"
	endpointChat        = "/v1/chat/completions"
	endpointModerations = "/v1/moderations"
)

// Endpoints returns OpenAI's endpoints that take batches, but for EndpointVideos
// (https://platform.openai.com/docs/api-reference/batch/create).
func Endpoints() []string {
	all := endpoints()
	return all[:]
}

// endpoints is Endpoints without an allocation.
func endpoints() [7]string {
	return [...]string{
		endpointResponses, endpointChat, EndpointEmbeddings, "/v1/completions",
		endpointModerations, "/v1/images/generations", "/v1/images/edits",
	}
}

// versionPrefix begins OpenAI's endpoints. Azure's clients leave it out.
const versionPrefix = "/v1"

// FullEndpoint returns the one of endpoints that name names, with or without its
// /v1; name itself if it is none.
func FullEndpoint(name string, endpoints []string) string {
	if full := versionPrefix + name; !slices.Contains(endpoints, name) && slices.Contains(endpoints, full) {
		return full
	}
	return name
}

// KnownEndpoints returns those that batches may be for: OpenAI's, and what a
// deployment takes besides.
func KnownEndpoints(extra []string) []string { return slices.Concat(Endpoints(), extra) }

// CheckEndpoint returns an *OrderError unless batches may be for name, one of
// KnownEndpoints.
func CheckEndpoint(name string, known []string) error {
	switch {
	case name == EndpointVideos:
		return &OrderError{Param: "endpoint", Code: CodeInvalidValue, Message: fmt.Sprintf("Invalid value: '%s'. It answers with a "+
			"job that is not done yet, which batches here do not ask for. Call it without a batch.", EndpointVideos)}
	case !slices.Contains(known, name):
		return &OrderError{Param: "endpoint", Code: CodeInvalidValue, Message: fmt.Sprintf(
			"Invalid value: '%s'. Supported values are: '%s'.", Clip(name), strings.Join(known, "', '"))}
	}
	return nil
}

// Clip bounds what an error quotes of the user's own words, to 64 bytes.
func Clip(s string) string {
	const longest = 64
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}
