package provider_test

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"

	"github.com/musketry/musketry/localstack/standin/provider"
)

// sdk returns OpenAI's own client of a stand-in, which repeats nothing by itself.
func sdk(s standin) openai.Client {
	return openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey("sk-test"), option.WithMaxRetries(0))
}

func TestSDKChats(t *testing.T) {
	t.Parallel()
	client := sdk(start(t, provider.Config{}))
	ask := openai.ChatCompletionNewParams{
		Model: "standin", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("say ahoy")},
	}
	got, err := client.Chat.Completions.New(t.Context(), ask)
	if err != nil {
		t.Fatalf("chat: %v", err)
	}
	text := got.Choices[0].Message.Content
	if !strings.Contains(text, "“say ahoy”") || got.Choices[0].FinishReason != "stop" || got.Usage.PromptTokens != 2 {
		t.Errorf("chat: %s", got.RawJSON())
	}
	stream := client.Chat.Completions.NewStreaming(t.Context(), ask)
	var all openai.ChatCompletionAccumulator
	for stream.Next() {
		if !all.AddChunk(stream.Current()) {
			t.Errorf("the SDK takes no %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil || all.Choices[0].Message.Content != text {
		t.Errorf("streamed %q, %v; want %q", all.Choices[0].Message.Content, err, text)
	}
}

// TestSDKChatsInJSON asks for a JSON schema, as clients do that read objects.
func TestSDKChatsInJSON(t *testing.T) {
	t.Parallel()
	client := sdk(start(t, provider.Config{}))
	schema := map[string]any{"type": "object", "properties": map[string]any{
		"text": map[string]any{"type": "string"}, "number": map[string]any{"type": "integer"},
	}}
	got, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model: "standin", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("say ahoy")},
		ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &openai.ResponseFormatJSONSchemaParam{
			JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{Name: "answer", Schema: schema},
		}},
	})
	if err != nil {
		t.Fatalf("chat: %v", err)
	}
	if object := read[map[string]string](t, got.Choices[0].Message.Content); len(object) != 1 || !strings.Contains(object["text"], "“say ahoy”") {
		t.Errorf("chat: %s", got.RawJSON())
	}
}

func TestSDKCompletesAndResponds(t *testing.T) {
	t.Parallel()
	client := sdk(start(t, provider.Config{}))
	text, err := client.Completions.New(t.Context(), openai.CompletionNewParams{
		Model: "standin", Prompt: openai.CompletionNewParamsPromptUnion{OfString: param.NewOpt("say ahoy")},
	})
	if err != nil || !strings.Contains(text.Choices[0].Text, "“say ahoy”") {
		t.Errorf("completion: %+v, %v", text, err)
	}
	ask := responses.ResponseNewParams{
		Model: "standin", Input: responses.ResponseNewParamsInputUnion{OfString: param.NewOpt("say ahoy")},
	}
	got, err := client.Responses.New(t.Context(), ask)
	if err != nil || !strings.Contains(got.OutputText(), "“say ahoy”") || got.Usage.InputTokens != 2 {
		t.Fatalf("response: %+v, %v", got, err)
	}
	stream := client.Responses.NewStreaming(t.Context(), ask)
	var deltas, final string
	for stream.Next() {
		deltas += stream.Current().AsResponseOutputTextDelta().Delta
		if event := stream.Current(); event.Type == "response.completed" {
			final = event.AsResponseCompleted().Response.OutputText()
		}
	}
	if err := stream.Err(); err != nil || deltas != got.OutputText() || final != got.OutputText() {
		t.Errorf("streamed %q and %q, %v; want %q", deltas, final, err, got.OutputText())
	}
}

func TestSDKEmbedsAndModerates(t *testing.T) {
	t.Parallel()
	client := sdk(start(t, provider.Config{}))
	ask := openai.EmbeddingNewParams{
		Model: "standin", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}},
		Dimensions: param.NewOpt(int64(20)),
	}
	got, err := client.Embeddings.New(t.Context(), ask)
	if err != nil || len(got.Data) != 2 || len(got.Data[1].Embedding) != 20 || got.Data[1].Index != 1 {
		t.Fatalf("embeddings: %+v, %v", got, err)
	}
	var square float64
	for _, v := range got.Data[0].Embedding {
		square += v * v
	}
	if math.Abs(square-1) > 1e-5 || got.Data[0].Embedding[0] == got.Data[1].Embedding[0] {
		t.Errorf("vectors %v and %v", got.Data[0].Embedding, got.Data[1].Embedding)
	}
	judged, err := client.Moderations.New(t.Context(), openai.ModerationNewParams{
		Model: "standin", Input: openai.ModerationNewParamsInputUnion{OfStringArray: []string{"peace", "much Violence"}},
	})
	if err != nil || judged.Results[0].Flagged || !judged.Results[1].Flagged || !judged.Results[1].Categories.Violence {
		t.Errorf("moderations: %+v, %v", judged, err)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) == 0 || models.Data[0].ID != "standin" {
		t.Errorf("models: %+v, %v", models, err)
	}
}

func TestSDKReadsErrors(t *testing.T) {
	t.Parallel()
	client := sdk(start(t, provider.Config{}))
	for model, want := range map[string]struct {
		status int
		code   string
	}{
		"standin:status=429":         {http.StatusTooManyRequests, "rate_limit_exceeded"},
		"standin:insufficient-quota": {http.StatusTooManyRequests, "insufficient_quota"},
		"standin:status=401":         {http.StatusUnauthorized, "invalid_api_key"},
		"standin:bogus":              {http.StatusBadRequest, "unknown_directive"},
	} {
		_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
			Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("x")},
		})
		var failure *openai.Error
		if !errors.As(err, &failure) || failure.StatusCode != want.status || failure.Code != want.code {
			t.Errorf("%s: %v", model, err)
		}
	}
}
