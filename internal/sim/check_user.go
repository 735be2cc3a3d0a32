package sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/musketry/musketry/internal/batch"
)

// shownCounts are a batch's counts as the API shows them.
type shownCounts struct {
	Total     int `json:"total"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
	Expired   int `json:"expired"`
	Cancelled int `json:"cancelled"`
}

func (c shownCounts) done() int { return c.Completed + c.Failed + c.Expired + c.Cancelled }

// shown is told of a batch as the API shows it, and reports whether it has
// ended.
func (c *checker) shown(j *job, body []byte) bool {
	var b struct {
		Status batch.Status `json:"status"`
		Counts shownCounts  `json:"request_counts"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		c.wrong("%s is shown as %s: %v", j.nick, body, err)
		return false
	}
	was, now := j.shadow.counts, b.Counts
	ended := b.Status.Terminal()
	if now.done() > now.Total || ended && now.done() != now.Total {
		c.wrong("%s is shown %s with %+v", j.nick, b.Status, now)
	}
	if now.Completed < was.Completed || now.Failed < was.Failed || now.Expired < was.Expired ||
		now.Cancelled < was.Cancelled || was.Total > 0 && now.Total != was.Total {
		c.wrong("%s is shown with %+v after %+v", j.nick, now, was)
	}
	truth := j.truth()
	if !ended && (now.Completed > truth.Completed || now.Failed > truth.Failed ||
		now.Expired > truth.Expired || now.Cancelled > truth.Canceled) {
		c.wrong("%s is shown with %+v, and its requests are %+v", j.nick, now, truth)
	}
	j.shadow.counts = now
	return ended
}

// early is told of lines that are read before the batch has ended.
func (c *checker) early(j *job, body []byte) {
	if j.shadow.early == nil {
		j.shadow.early = map[int]bool{}
	}
	for text := range bytes.Lines(body) {
		n, ok := c.lineOf(j, text)
		if !ok {
			c.wrong("%s has the early result %q", j.nick, text)
			continue
		}
		if j.shadow.early[n] {
			c.wrong("%s is read early twice", j.name(n))
		}
		j.shadow.early[n] = true
	}
}

// A resultLine is a line of a result file.
type resultLine struct {
	CustomID string `json:"custom_id"`
	Response *struct {
		StatusCode int `json:"status_code"`
		Body       struct {
			ID   string `json:"id"`
			Call int    `json:"call"`
		} `json:"body"`
	} `json:"response"`
	Error *struct {
		Code string `json:"code"`
	} `json:"error"`
}

// lineOf returns the number of the request that a result line tells of.
func (c *checker) lineOf(j *job, text []byte) (int, bool) {
	var r resultLine
	if json.Unmarshal(text, &r) != nil {
		return 0, false
	}
	nick, number, _ := strings.Cut(r.CustomID, "-")
	n, err := strconv.Atoi(number)
	ok := err == nil && nick == j.nick && n >= 1 && n <= len(j.lines) &&
		(r.Response == nil || r.Response.StatusCode != http.StatusOK || r.Response.Body.ID == r.CustomID)
	return n, ok
}
