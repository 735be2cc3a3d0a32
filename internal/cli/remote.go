package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/doctor"
)

const (
	// maxAnswer is how much of an answer is read that is no file.
	maxAnswer = 8 << 20
	// askTries is how often a question is asked whose answer passes.
	askTries = 4
)

// A Remote is a deployment's API as doctor's smoke test uses it: by the same
// calls as the commands.
type Remote struct {
	app *app
	c   *client
}

var (
	_ doctor.Files   = (*Remote)(nil)
	_ doctor.Batches = (*Remote)(nil)
	_ doctor.Catalog = (*Remote)(nil)
)

// NewRemote returns the API at a base URL, with env's key or the one that a file
// holds. The error says what is missing.
func NewRemote(env Env, baseURL, keyFile string) (*Remote, error) {
	env.Stdout, env.Stderr, env.Terminal = io.Discard, io.Discard, false
	a := &app{env: env, baseURL: baseURL, keyFile: keyFile}
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	return &Remote{app: a, c: c}, nil
}

// inWords returns err in words for a person.
func inWords(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(explain(err))
}

// Send sends a file.
func (r *Remote) Send(ctx context.Context, name, purpose string, content []byte) (string, error) {
	in, err := openInput(ctx, "-", bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	defer in.close()
	in.name, in.label, in.purpose = name, name, openai.FilePurpose(purpose)
	id, err := r.app.upload(ctx, r.c, in)
	return id, inWords(err)
}

// Open asks for a file in one answer.
func (r *Remote) Open(ctx context.Context, id string) (doctor.Stream, error) {
	res, err := r.c.files.Content(ctx, id) //nolint:bodyclose // it is the caller's
	if err != nil {
		return doctor.Stream{}, inWords(err)
	}
	return doctor.Stream{ReadCloser: res.Body, Length: answerLength(res), SHA256: reprDigest(res.Header)}, nil
}

// Fetch writes a file to w as the command "results" does.
func (r *Remote) Fetch(ctx context.Context, id string, w io.Writer) error {
	_, err := r.app.download(ctx, r.c, id, w)
	return inWords(err)
}

// Delete deletes a file.
func (r *Remote) Delete(ctx context.Context, id string) error {
	_, err := r.c.files.Delete(ctx, id)
	return inWords(err)
}

// Create makes a batch of a file of requests.
func (r *Remote) Create(ctx context.Context, fileID, endpoint, window string) (string, error) {
	b, err := r.c.batches.New(ctx, openai.BatchNewParams{
		InputFileID: fileID, Endpoint: openai.BatchNewParamsEndpoint(endpoint),
		CompletionWindow: openai.BatchNewParamsCompletionWindow(window),
	}, option.WithHeader("Idempotency-Key", r.app.env.NewID()))
	if err != nil {
		return "", inWords(err)
	}
	return b.ID, nil
}

// Batch returns a batch's status, counts and files.
func (r *Remote) Batch(ctx context.Context, id string) (batch.Batch, error) {
	v, err := r.c.batch(ctx, id)
	if err != nil {
		return batch.Batch{}, inWords(err)
	}
	return batch.Batch{
		Ref: batch.Ref{ID: v.ID}, Status: v.status(), Counts: v.counts(), OutputFileID: v.OutputFileID, ErrorFileID: v.ErrorFileID,
	}, nil
}

// Cancel cancels a batch.
func (r *Remote) Cancel(ctx context.Context, id string) error {
	_, err := r.c.batches.Cancel(ctx, id)
	return inWords(err)
}

// Finished returns how many lines of a batch can be read.
func (r *Remote) Finished(ctx context.Context, id string) (int, error) {
	body, err := r.ask(ctx, "batches/"+url.PathEscape(id)+"/results", nil)
	return bytes.Count(body, []byte("\n")), err
}

// Find returns how many requests of a batch have a custom_id.
func (r *Remote) Find(ctx context.Context, id, customID string) (int, error) {
	body, err := r.ask(ctx, "batches/"+url.PathEscape(id)+"/requests", url.Values{"custom_id": {customID}})
	if err != nil {
		return 0, err
	}
	var list struct {
		Data []struct {
			CustomID string `json:"custom_id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return 0, errors.New("the list of requests is no JSON")
	}
	n := 0
	for _, found := range list.Data {
		if found.CustomID == customID {
			n++
		}
	}
	return n, nil
}

// Names returns the models that the deployment lists.
func (r *Remote) Names(ctx context.Context) ([]string, error) {
	body, err := r.ask(ctx, "models", nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, errors.New("the list of models is no JSON")
	}
	names := make([]string, len(list.Data))
	for i, m := range list.Data {
		names[i] = m.ID
	}
	return names, nil
}

// Unknown asks for a model that there is not, and returns what the refusal says.
func (r *Remote) Unknown(ctx context.Context, name string) (string, error) {
	_, err := r.ask(ctx, "models/"+url.PathEscape(name), nil)
	var refused *refusedError
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return refused.message, nil
	}
	if err == nil {
		err = errors.New("there is such a model")
	}
	return "", err
}

// A refusedError is an answer that is none of what was asked for.
type refusedError struct {
	status  int
	message string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the API answered %d: %s", e.status, e.message)
}

// ask makes a GET below the base URL, again where that may help. The path is
// escaped already.
func (r *Remote) ask(ctx context.Context, path string, query url.Values) ([]byte, error) {
	for try := 1; ; try++ {
		body, err := r.get(ctx, path, query)
		var refused *refusedError
		refusal := errors.As(err, &refused)
		if err == nil || try == askTries || ctx.Err() != nil ||
			refusal && refused.status != http.StatusTooManyRequests && refused.status < http.StatusInternalServerError {
			return body, err
		}
		if err := wait(ctx, setback(try, r.app.env.Random())); err != nil {
			return nil, err
		}
	}
}

func (r *Remote) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	address := strings.TrimSuffix(r.c.base.String(), "/") + "/" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.c.key)
	req.Header.Set("User-Agent", "musketry/"+r.app.env.Version)
	res, err := r.app.env.HTTP.Do(req)
	if err != nil {
		return nil, inWords(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var said struct {
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		_ = json.Unmarshal(body, &said) // where it is none of ours, the status says enough
		return nil, &refusedError{status: res.StatusCode, message: said.Error.Message}
	}
	return body, nil
}
