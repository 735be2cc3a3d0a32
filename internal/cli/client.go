package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

const (
	// pieceBytes is how much of a file one call carries. A Lambda takes and
	// answers 6 MB of JSON, in which bytes are base64
	// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
	pieceBytes = 4 << 20
	// callTimeout is the longest that one attempt of a call takes. The SDK
	// makes three at most.
	callTimeout = 2 * time.Minute
	// maxKeyBytes is the longest key that is read from a file.
	maxKeyBytes = 4 << 10
)

// A client speaks to the API.
type client struct {
	base    *url.URL
	key     string
	own     openai.Client // for what is Musketry's own, which the SDK has no service for
	batches openai.BatchService
	files   openai.FileService
	uploads openai.UploadService
}

// client returns one for the address and key that flags and environment name.
// The services are made one by one because the SDK's own client would read
// the environment too, and fall back to OpenAI's address when none is set:
// nobody's data goes there by an oversight.
func (a *app) client() (*client, error) {
	base, err := address(a.baseURL)
	if err != nil {
		return nil, err
	}
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	opts := []option.RequestOption{
		option.WithBaseURL(base.String()),
		option.WithAPIKey(key),
		option.WithHTTPClient(a.env.HTTP),
		option.WithRequestTimeout(callTimeout),
		option.WithHeader("User-Agent", "musketry/"+a.env.Version),
	}
	return &client{
		base:    base,
		key:     key,
		own:     openai.Client{Options: opts},
		batches: openai.NewBatchService(opts...),
		files:   openai.NewFileService(opts...),
		uploads: openai.NewUploadService(opts...),
	}, nil
}

func address(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("where is the API? Set OPENAI_BASE_URL or give --base-url, such as http://127.0.0.1:4566/…/v1")
	}
	base, err := url.Parse(text)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		// The text is not repeated: it may hold a password.
		return nil, errors.New("the API's address is no URL: it must look like https://host/…/v1; mend OPENAI_BASE_URL or --base-url")
	}
	return base, nil
}

// key returns the API key: the named file's if there is one, else the environment's.
func (a *app) key() (string, error) {
	if a.keyFile == "" {
		if a.env.Key == "" {
			return "", errors.New("no API key: set OPENAI_API_KEY or name a file that holds it with --key-file")
		}
		return a.env.Key, nil
	}
	f, err := os.Open(a.keyFile)
	if err != nil {
		return "", fmt.Errorf("--key-file: %w", err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxKeyBytes+1))
	if err != nil {
		return "", fmt.Errorf("--key-file: %w", err)
	}
	key := strings.TrimSpace(string(raw))
	if key == "" || len(raw) > maxKeyBytes || strings.ContainsAny(key, "\r\n") {
		return "", fmt.Errorf("--key-file: %s must hold one key on one line", a.keyFile)
	}
	return key, nil
}

// wait returns after d, or with ctx's error once ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
