package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

// mostPages is how many pages one list of requests asks for: a million requests
// that the server filters, or 50,000 that it does not.
const mostPages = 500

// A request is how one request of a batch stands.
type request struct {
	ID          string `json:"id"`
	BatchID     string `json:"batch_id"`
	CustomID    string `json:"custom_id"`
	Line        int    `json:"line"`
	Status      string `json:"status"`
	Reason      string `json:"reason"`
	Attempts    int    `json:"attempts"`
	Reclaims    int    `json:"reclaims"`
	LastFailure string `json:"last_failure"`
	FailureKind string `json:"failure_kind"`
	RetryDenied string `json:"retry_denied"`
	StatusCode  int    `json:"status_code"`
	Model       string `json:"model"`
	CreatedAt   int64  `json:"created_at"`
	NextTryAt   int64  `json:"next_try_at"`
	ClaimedAt   int64  `json:"claimed_at"`
	StartedAt   int64  `json:"started_at"`
	FinishedAt  int64  `json:"finished_at"`
}

// A requestPage is a page of a batch's requests, each as it came.
type requestPage struct {
	Data    []json.RawMessage `json:"data"`
	LastID  string            `json:"last_id"`
	HasMore bool              `json:"has_more"`
}

// requestFlags say which requests of a batch are meant.
type requestFlags struct {
	status, search, reason, customID, after string
	limit                                   int
}

func requestStatuses() []string {
	var all []string
	for _, o := range batch.Outcomes() {
		all = append(all, string(o))
	}
	return all
}

func (a *app) requestsCommand() *cobra.Command {
	var f requestFlags
	cmd := &cobra.Command{
		Use:   "requests BATCH [REQUEST]",
		Short: "List a batch's requests, or tell one request's story",
		Long: `List the requests of a batch in the order of its file: how each stands, how often it
was called, why its last call failed. --search looks for a text in their custom_ids;
of a million requests at most, beyond which --after goes on.

With a request's id, or its custom_id, tell that request's story: its attempts, its
last failure, when it is tried next, and its answer if it has one.

Only Musketry's server tells of single requests.`,
		Example: `  musketry requests batch_01… --status failed
  musketry requests batch_01… --reason http_429
  musketry requests batch_01… --search invoice- --limit 100
  musketry requests batch_01… batch_req_01…_7
  musketry requests batch_01… --custom-id invoice-4711
  musketry requests batch_01… --status pending --json | jq -r 'select(.attempts > 0).custom_id'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) < 2:
				return oneBatch(cmd, args)
			case len(args) > 2:
				return usageError(cmd, errors.New("one batch and one of its requests at a time"))
			case f.customID != "":
				return usageError(cmd, errors.New("name the request by its id or by --custom-id, not by both"))
			}
			return plainIDs(cmd, args, "batch or request")
		},
		ValidArgsFunction: a.completeBatch,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			v, err := c.batch(ctx, args[0])
			switch {
			case err != nil:
				return err
			case len(args) == 2:
				return a.story(ctx, c, v, args[1])
			case f.customID != "":
				return a.storyOf(ctx, c, v, f.customID)
			}
			return a.listRequests(ctx, c, v, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.status, "status", "", "only with this status: "+strings.Join(requestStatuses(), ", "))
	flags.StringVar(&f.search, "search", "", "only with this text in the custom_id")
	flags.StringVar(&f.reason, "reason", "", "only those that failed for this reason, as \"musketry status\" tells them")
	flags.IntVar(&f.limit, "limit", listDefault, "how many to show at most")
	flags.StringVar(&f.after, "after", "", "go on after this request")
	flags.StringVar(&f.customID, "custom-id", "", "tell the story of the request with this custom_id")
	completeFlag(cmd, "status", requestStatuses()...)
	return cmd
}

func (f *requestFlags) check() error {
	if f.status != "" && !slices.Contains(requestStatuses(), f.status) {
		return fmt.Errorf("--status: %.32q is none of %s", f.status, strings.Join(requestStatuses(), ", "))
	}
	return checkLimit(f.limit)
}

// requests returns a page of a batch's requests. A server that knows no search
// or no reasons is asked for them all, and query lacks both from then on.
func (c *client) requests(ctx context.Context, id string, query map[string]string) (requestPage, error) {
	var opts []option.RequestOption
	for name, value := range query {
		if value != "" {
			opts = append(opts, option.WithQuery(name, value))
		}
	}
	var p requestPage
	err := c.own.Execute(ctx, http.MethodGet, "batches/"+url.PathEscape(id)+"/requests", nil, &p, opts...)
	switch {
	case foreign(err):
		return p, unknown("single requests")
	case refused(err) && query["search"]+query["reason"] != "":
		delete(query, "search")
		delete(query, "reason")
		return c.requests(ctx, id, query)
	}
	return p, err
}

func (a *app) listRequests(ctx context.Context, c *client, v *view, f requestFlags) error {
	t := &requestTable{a: a, limit: f.limit, search: f.search, reason: f.reason}
	after, more, err := t.gather(ctx, c, v.ID, f)
	if err != nil {
		return err
	}
	if err := t.show(); err != nil {
		return err
	}
	switch {
	case t.full() && !a.json, !t.full() && more:
		a.note("There may be more: musketry requests %s%s", v.ID, f.words(after))
	case t.shown == 0 && !a.json && v.status() == batch.StatusValidating:
		a.note("%s is validating; its requests are there once that is over.", v.ID)
	case t.shown == 0 && !a.json:
		a.note("There are no such requests.")
	}
	return nil
}

// perPage returns how many requests are asked for at once: as many as may be
// where the server may leave it to us to look for those that are meant.
func (f *requestFlags) perPage() int {
	if f.search != "" || f.reason != "" {
		return pageMax
	}
	return min(f.limit, pageMax)
}

// gather asks for pages of a batch's requests until t is full or there are no
// more, and returns where to go on, and whether there is more.
func (t *requestTable) gather(ctx context.Context, c *client, id string, f requestFlags) (after string, more bool, err error) {
	query := map[string]string{
		"status": f.status, "search": f.search, "reason": f.reason, "after": f.after, "limit": strconv.Itoa(f.perPage()),
	}
	for range mostPages {
		p, err := c.requests(ctx, id, query)
		if err != nil {
			return "", false, err
		}
		for _, raw := range p.Data {
			if err := t.add(raw); err != nil {
				return "", false, err
			}
			if t.full() {
				return t.last, true, nil
			}
		}
		if query["after"] = p.LastID; !p.HasMore || p.LastID == "" {
			return "", false, nil
		}
	}
	return query["after"], true, nil
}

// words returns the flags that go on after a request, as a shell reads them.
func (f *requestFlags) words(after string) string {
	text := ""
	if f.status != "" {
		text += " --status " + f.status
	}
	if f.search != "" {
		text += " --search " + shellWord(f.search)
	}
	if f.reason != "" {
		text += " --reason " + shellWord(f.reason)
	}
	if f.limit != listDefault {
		text += " --limit " + strconv.Itoa(f.limit)
	}
	return text + " --after " + after
}

// A requestTable shows requests: JSON at once, a table at the end.
type requestTable struct {
	a      *app
	limit  int
	search string // what custom_ids must have, in upper or lower case
	reason string // what requests must have failed for; empty: whatever they did
	shown  int
	last   string
	rows   [][]string
}

func (t *requestTable) full() bool { return t.shown == t.limit }

// add takes a request, unless it is none of those that are looked for: not every
// server leaves those out.
func (t *requestTable) add(raw json.RawMessage) error {
	var r request
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("the server's request is no JSON: %w", err)
	}
	if !batch.Mentions(r.CustomID, t.search) || t.reason != "" && r.reason() != t.reason {
		return nil
	}
	t.shown++
	t.last = r.ID
	if t.a.json {
		return printRaw(t.a.env.Stdout, raw)
	}
	t.rows = append(t.rows, []string{
		r.ID, strconv.Itoa(r.Line), r.Status, strconv.Itoa(r.Attempts), printable(r.CustomID), dash(printable(r.LastFailure)),
	})
	return nil
}

func (t *requestTable) show() error {
	if len(t.rows) == 0 {
		return nil
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	// Writing to a strings.Builder cannot fail.
	_, _ = fmt.Fprintln(w, "REQUEST\tLINE\tSTATUS\tATTEMPTS\tCUSTOM_ID\tLAST FAILURE")
	for _, row := range t.rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
	return write(t.a.env.Stdout, text.String())
}

// reason returns why a request failed, expired or was cancelled, as batch.ReasonOf
// does, also where a server does not tell it; empty of any other.
func (r *request) reason() string {
	switch {
	case r.Reason != "":
		return r.Reason
	case batch.Outcome(r.Status) == batch.OutcomeCanceled:
		return batch.CodeCanceled
	case batch.Outcome(r.Status) != batch.OutcomeFailed && batch.Outcome(r.Status) != batch.OutcomeExpired:
		return ""
	}
	switch r.FailureKind {
	case "retryable_http_status", "non_retryable_http_status":
		return fmt.Sprintf("http_%d", r.StatusCode)
	case "expired":
		return batch.CodeExpired
	case "timeout":
		return batch.CodeTimeout
	case "request_builder_error":
		return batch.CodeUnsendable
	}
	return r.FailureKind // which is the reason of all others
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// storyOf tells the story of the request with a custom_id.
func (a *app) storyOf(ctx context.Context, c *client, v *view, customID string) error {
	p, err := c.requests(ctx, v.ID, map[string]string{"custom_id": customID})
	if err != nil {
		return err
	}
	if len(p.Data) == 0 {
		hint := `"musketry requests ` + v.ID + ` --search TEXT" looks for a part of it`
		if v.status() == batch.StatusValidating {
			hint = "the batch is still validating, and its requests are there once that is over"
		}
		return fmt.Errorf("%s has no request with the custom_id %.256q; %s", v.ID, customID, hint)
	}
	return a.tellStory(ctx, c, v, p.Data[0])
}

// story tells the story of the request with an id.
func (a *app) story(ctx context.Context, c *client, v *view, requestID string) error {
	var raw []byte
	path := "batches/" + url.PathEscape(v.ID) + "/requests/" + url.PathEscape(requestID)
	err := c.own.Execute(ctx, http.MethodGet, path, nil, &raw)
	var answer *openai.Error
	if foreign(err) && errors.As(err, &answer) && answer.Param != "request_id" {
		return unknown("single requests")
	}
	if err != nil {
		return err
	}
	return a.tellStory(ctx, c, v, raw)
}
