// Package api is the HTTP surface: OpenAI's Files, Uploads and Batches API with its
// routes, shapes, errors and keys (https://platform.openai.com/docs/api-reference).
//
// Every answer carries x-request-id, and every error OpenAI's envelope:
//
//	{"error":{"message":…,"type":…,"param":…,"code":…}}
//
// An object belongs to the tenant of the key it was made with, and does not
// exist for any other.
//
// The package knows net/http and the domain. It declares what it needs of
// stores, objects and the use case of accepting, and knows no AWS, no Lambda
// and no environment.
package api
