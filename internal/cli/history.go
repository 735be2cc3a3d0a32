package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// historyEvery is how often a watch asks how a batch went.
	historyEvery = 15 * time.Second
	// historyFresh is how old a count of retries may be that is shown: the server
	// counts them when it looks at every request, not at each question.
	historyFresh = 10 * time.Minute
	// mostReasons is how many reasons of failures are shown.
	mostReasons = 10
)

// A history is how a batch went, as Musketry tells it and OpenAI does not.
type history struct {
	Samples []struct {
		At       int64 `json:"at"`
		Retrying *int  `json:"retrying"` // nil: nobody looked
	} `json:"samples"`
	Failures []struct {
		Reason   string `json:"reason"`
		Requests int    `json:"requests"`
	} `json:"failures"`
}

// history asks how a batch went. It is asked once, since it is no more than an
// addition.
func (c *client) history(ctx context.Context, id string) (history, error) {
	var h history
	err := c.own.Execute(ctx, http.MethodGet, "batches/"+url.PathEscape(id)+"/progress", nil, &h,
		option.WithRequestTimeout(lookTimeout), option.WithMaxRetries(0))
	return h, err
}

// retrying returns how many requests failed and are tried again, as far as that
// was counted lately; 0 otherwise.
func (h *history) retrying(now time.Time) int {
	for i := len(h.Samples) - 1; i >= 0; i-- {
		s := h.Samples[i]
		if now.Sub(time.Unix(s.At, 0)) > historyFresh {
			return 0
		}
		if s.Retrying != nil {
			return *s.Retrying
		}
	}
	return 0
}

// reasons returns why requests failed, the most frequent reason first.
func (h *history) reasons() string {
	var parts []string
	for i, f := range h.Failures {
		if i == mostReasons {
			parts = append(parts, "and others")
			break
		}
		parts = append(parts, fmt.Sprintf("%d %s", f.Requests, printable(f.Reason)))
	}
	return strings.Join(parts, ", ")
}

// A lookout asks now and then how a batch went, while it is watched.
type lookout struct {
	asked   time.Time
	strange bool // the server does not tell
	last    history
}

// retrying returns how many of a batch's requests are tried again.
func (l *lookout) retrying(ctx context.Context, c *client, v *view, now time.Time) int {
	if v.status() != batch.StatusInProgress {
		return 0
	}
	if !l.strange && now.Sub(l.asked) >= historyEvery {
		h, err := c.history(ctx, v.ID)
		l.asked, l.strange = now, foreign(err)
		if err == nil {
			l.last = h
		}
	}
	counts := v.counts()
	return min(l.last.retrying(now), counts.Total-counts.Done())
}
