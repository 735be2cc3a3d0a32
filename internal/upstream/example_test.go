package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

// Example makes one call and tells its outcomes apart.
func Example() {
	client := upstream.New(upstream.Config{
		Key:       func(context.Context, string) (string, error) { return "sk-example", nil },
		Transport: canned(http.StatusOK, "application/json", `{"model":"gpt-x","choices":[{"message":{"content":"Hello"}}]}`),
	})
	got, err := client.Call(context.Background(), upstream.Request{
		Route: route.Route{
			BaseURL: "https://api.example.com/v1", Auth: route.Auth{Kind: route.Bearer, Key: "ssm:example"},
		},
		Method: http.MethodPost, URL: "/v1/chat/completions", Body: []byte(`{"model":"gpt-x"}`), IdempotencyKey: "batch_req_1",
	})
	var timeout *upstream.TimeoutError
	switch {
	case errors.As(err, &timeout):
		fmt.Println("no answer in time:", timeout.Phase)
	case err != nil:
		fmt.Println(err)
	case got.Verdict.Sense != answer.Usable:
		fmt.Println("no result:", got.Verdict.Message, got.Verdict.Why)
	default:
		fmt.Println(got.Status, got.Model)
	}
	// Output: 200 gpt-x
}
