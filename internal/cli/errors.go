package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/openai/openai-go/v3"
)

// foreign reports whether err is the answer of a server that does not know what
// it was asked for, or has not what was named.
func foreign(err error) bool {
	var answer *openai.Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// refused reports whether err is the answer of a server that does not know a
// parameter, or does not say what it is that it refuses, as ours always does.
func refused(err error) bool {
	var answer *openai.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusBadRequest &&
		(answer.Code == "unknown_parameter" || answer.Code == "")
}

// unknown says that the server does not know what only Musketry's does.
func unknown(what string) error {
	return fmt.Errorf("this server does not tell %s: that is Musketry's own, and OpenAI's API has no such route", what)
}

// explain returns err in words that say what went wrong, where, and what to do.
func explain(err error) string {
	var answer *openai.Error
	if !errors.As(err, &answer) {
		return err.Error() + hintOffline(err)
	}
	what := answer.Message
	if what == "" {
		what = http.StatusText(answer.StatusCode)
	}
	where := ""
	if answer.Request != nil && answer.Request.URL != nil {
		where = fmt.Sprintf(" (%s %s answered %d)", answer.Request.Method, answer.Request.URL.Redacted(), answer.StatusCode)
	}
	return what + where + hintAnswer(answer)
}

func hintAnswer(answer *openai.Error) string {
	switch answer.Code {
	case "read_only_api_key":
		return "\n" + `"musketry usage" shows which key is used; put another one into OPENAI_API_KEY or the file of --key-file.`
	case "expired_api_key":
		return "\nPut the new one into OPENAI_API_KEY or the file of --key-file."
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		if answer.Message == "" {
			return "\nIs the address right? It ends in /v1. Is the key one of this deployment?"
		}
		return "\nIs OPENAI_API_KEY (or --key-file) a key of this deployment?"
	case http.StatusNotFound:
		if answer.Message == "" {
			return "\nIs the address right? It ends in /v1."
		}
		return "\n" + hintNotFound(answer)
	case http.StatusTooManyRequests:
		return "\nThe server asks for patience: try again in a while."
	}
	if answer.StatusCode >= http.StatusInternalServerError {
		return "\nThe server's fault, not yours: try again in a while."
	}
	return ""
}

// hintNotFound says what shows the names of what was not found.
func hintNotFound(answer *openai.Error) string {
	path := ""
	if answer.Request != nil && answer.Request.URL != nil {
		path = answer.Request.URL.Path
	}
	switch {
	case strings.Contains(path, "/files/"):
		return `"musketry files list" shows the files of your key.`
	case strings.Contains(path, "/requests/"):
		return `"musketry requests BATCH" shows the requests of a batch.`
	}
	return `"musketry list" shows the batches of your key.`
}

func hintOffline(err error) string {
	var network *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("\nThe server did not answer within %s.", callTimeout)
	case errors.As(err, &network):
		return "\nIs the server up, and OPENAI_BASE_URL (or --base-url) its address?"
	}
	return ""
}

// passing reports whether a call that ended with err may succeed later as it is.
func passing(err error) bool {
	var answer *openai.Error
	if !errors.As(err, &answer) {
		// Broken connections and timeouts; everything else that does not come
		// from the server (a bad address, an answer that is no JSON) is bounded
		// by the patience of whoever asks.
		return true
	}
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return answer.StatusCode >= http.StatusInternalServerError
}
