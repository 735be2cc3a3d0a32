package batch

// EndpointEmbeddings is the endpoint whose requests may have many inputs each
// (https://platform.openai.com/docs/api-reference/embeddings/create).
const EndpointEmbeddings = "/v1/embeddings"

const (
	endpointChat        = "/v1/chat/completions"
	endpointModerations = "/v1/moderations"
)

// Endpoints returns OpenAI's endpoints that take batches
// (https://platform.openai.com/docs/api-reference/batch/create).
func Endpoints() []string {
	all := endpoints()
	return all[:]
}

// endpoints is Endpoints without an allocation.
func endpoints() [8]string {
	return [...]string{
		"/v1/responses", endpointChat, EndpointEmbeddings, "/v1/completions",
		endpointModerations, "/v1/images/generations", "/v1/images/edits", "/v1/videos",
	}
}
