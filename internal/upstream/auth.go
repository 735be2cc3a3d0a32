package upstream

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/musketry/musketry/internal/route"
)

// authorize has req say who calls, as the route wants it, and returns the secrets that req carries now. It returns a *KeyError
// or *RouteError, or the abort of a call whose time ended meanwhile. Everything else of req that is to be signed is set.
func (c *Client) authorize(ctx context.Context, req *http.Request, a route.Auth, body text) ([]string, error) {
	switch a.Kind {
	case route.None, "":
		return nil, nil
	case route.Bearer, route.Header:
		key, err := c.keyOf(ctx, a.Key)
		if key == "" || err != nil {
			return nil, err
		}
		if a.Kind == route.Bearer {
			req.Header.Set("Authorization", "Bearer "+key)
		} else {
			req.Header.Set(a.Header, key)
		}
		return []string{key}, nil
	case route.SigV4:
		return c.sign(ctx, req, a, body)
	default:
		return nil, &RouteError{Reason: "its kind of authentication is unknown"}
	}
}

// keyOf returns a key, or "" where a call goes without.
func (c *Client) keyOf(ctx context.Context, ref string) (string, error) {
	if c.cfg.Key == nil {
		return "", nil
	}
	key, err := c.cfg.Key(ctx, ref)
	if cause := context.Cause(ctx); cause != nil {
		return "", aborted(ctx, cause)
	}
	if err != nil {
		return "", &KeyError{Err: err}
	}
	key = strings.TrimSpace(key) // Secrets are often stored with the newline of the shell that stored them.
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", &KeyError{Err: errors.New("the key has a character that no header can carry")}
	}
	return key, nil
}

// sign signs req by AWS Signature Version 4, and with it the whole body
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
func (c *Client) sign(ctx context.Context, req *http.Request, a route.Auth, body text) ([]string, error) {
	if c.cfg.Credentials == nil || c.cfg.Now == nil {
		return nil, &KeyError{Err: errors.New("there are no AWS credentials")}
	}
	credentials, err := c.cfg.Credentials.Retrieve(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return nil, aborted(ctx, cause)
	}
	if err != nil {
		return nil, &KeyError{Err: errors.New("AWS gave no credentials")} // What it says instead may name a role's endpoint.
	}
	sum := sha256.New()
	for _, part := range body {
		_, _ = sum.Write(part) // A hash takes all.
	}
	err = v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(sum.Sum(nil)), a.Service, a.Region, c.cfg.Now())
	if err != nil {
		return nil, &KeyError{Err: errors.New("the call could not be signed")}
	}
	_, signature, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	return []string{cmp.Or(credentials.SessionToken, signature), signature}, nil
}
