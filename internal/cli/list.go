package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

const (
	listDefault = 20
	listMax     = 10_000
	// pageMax is the largest page that the API gives
	// (https://platform.openai.com/docs/api-reference/batch/list).
	pageMax = 100
	// listPages is how many calls one list makes: 10,000 batches, or 20,000 where
	// the server filters.
	listPages = listMax / pageMax
)

// A batchFilter says which batches of a list are meant.
type batchFilter struct {
	statuses []string
	search   string
	metadata []string
	since    time.Duration // 0: always
	sinceAs  string        // as it was written
}

func (a *app) listCommand() *cobra.Command {
	limit, after := 0, ""
	var f batchFilter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List batches, the newest first",
		Long: `List batches, the newest first. --status, --search, --metadata and --since leave out
what does not match; 10,000 batches at least are looked at, and --after goes on behind
them. A server that cannot search, as OpenAI's, has its batches searched here: by id
and metadata, and not by the names of input files.`,
		Example: `  musketry list
  musketry list --status in_progress --status validating
  musketry list --since 24h --metadata team=search
  musketry list --limit 100 --json | jq -r 'select(.request_counts.failed > 0).id'
  musketry list --after batch_01…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			if f.sinceAs != "" {
				var err error
				if f.since, err = parseSince(f.sinceAs); err != nil {
					return err
				}
			}
			if err := f.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.list(cmd.Context(), c, after, limit, f)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&limit, "limit", listDefault, "how many to show at most")
	flags.StringVar(&after, "after", "", "go on after this batch")
	flags.StringSliceVar(&f.statuses, "status", nil, "only with this status: "+strings.Join(batchStatuses(), ", ")+"; may be repeated")
	flags.StringVar(&f.search, "search", "", "only with this text in the id, the metadata or the input file's name, in upper or lower case")
	flags.StringArrayVar(&f.metadata, "metadata", nil, "only with this key=value; may be repeated")
	flags.StringVar(&f.sinceAs, "since", "", "only those of so long ago at most, such as 90m, 24h or 7d")
	completeFlag(cmd, "status", batchStatuses()...)
	return cmd
}

func checkLimit(limit int) error {
	if limit < 1 || limit > listMax {
		return fmt.Errorf("--limit: %d is not between 1 and %d", limit, listMax)
	}
	return nil
}

func batchStatuses() []string {
	return []string{
		string(batch.StatusValidating), string(batch.StatusInProgress), string(batch.StatusFinalizing), string(batch.StatusCompleted),
		string(batch.StatusFailed), string(batch.StatusExpired), string(batch.StatusCanceling), string(batch.StatusCanceled),
	}
}

// parseSince reads a span of time, which may be in days.
func parseSince(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n := 0
		if _, err = fmt.Sscanf(days+"\n", "%d\n", &n); err == nil && n < 100_000 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("--since: %.32q is no span of time; write it like 90m, 24h or 7d", text)
	}
	return d, nil
}

func (f *batchFilter) check() error {
	for _, s := range f.statuses {
		if !slices.Contains(batchStatuses(), s) {
			return fmt.Errorf("--status: %.32q is none of %s", s, strings.Join(batchStatuses(), ", "))
		}
	}
	for _, pair := range f.metadata {
		if key, _, ok := strings.Cut(pair, "="); !ok || key == "" {
			return fmt.Errorf("--metadata: %.64q is not of the form key=value", pair)
		}
	}
	return nil
}

// passes reports whether a batch is meant. Searched says that the server has found
// it by what f searches for.
func (f *batchFilter) passes(v *view, searched bool) bool {
	if len(f.statuses) > 0 && !slices.Contains(f.statuses, string(v.Status)) {
		return false
	}
	for _, pair := range f.metadata {
		key, value, _ := strings.Cut(pair, "=")
		if has, ok := v.Metadata[key]; !ok || has != value {
			return false
		}
	}
	found := searched || batch.Mentions(v.ID, f.search)
	for key, value := range v.Metadata {
		found = found || batch.Mentions(key, f.search) || batch.Mentions(value, f.search)
	}
	return found
}

// A batchPage is a page of batches, the newest first.
type batchPage struct {
	Data    []openai.Batch `json:"data"`
	LastID  string         `json:"last_id"`
	HasMore *bool          `json:"has_more"` // nil: the server does not tell
}

// next returns what to go on after; empty if there is no more.
func (p *batchPage) next() string {
	switch {
	case p.HasMore != nil && !*p.HasMore:
		return ""
	case p.LastID == "" && len(p.Data) > 0: // not every server tells it
		return p.Data[len(p.Data)-1].ID
	}
	return p.LastID
}

// list returns a page of batches. A server that knows no filters is asked for
// them all, and query lacks the filters from then on.
func (c *client) list(ctx context.Context, query map[string]string) (batchPage, error) {
	var opts []option.RequestOption
	for name, value := range query {
		if value != "" {
			opts = append(opts, option.WithQuery(name, value))
		}
	}
	var p batchPage
	err := c.own.Execute(ctx, http.MethodGet, "batches", nil, &p, opts...)
	if refused(err) && query["status"]+query["search"] != "" {
		delete(query, "status")
		delete(query, "search")
		return c.list(ctx, query)
	}
	return p, err
}

// errEnough ends a walk over a list.
var errEnough = errors.New("enough")

// A walked is where a walk over batches has ended.
type walked struct {
	last     string // what to go on after
	more     bool   // it was long enough before there were no more
	nameless bool   // the server did not search, so that files' names were not looked at
}

// walk calls show with the batches that a filter lets pass, until it returns
// errEnough. The server filters as far as it can.
func (f *batchFilter) walk(ctx context.Context, c *client, after string, perPage int, now time.Time, show func(*view) error) (walked, error) {
	query := map[string]string{"limit": strconv.Itoa(perPage), "after": after, "search": f.search}
	if len(f.statuses) == 1 {
		query["status"] = f.statuses[0]
	}
	var at walked
	for range listPages {
		p, err := c.list(ctx, query)
		if err != nil {
			return at, err
		}
		if err := f.take(p.Data, query["search"] != "", now, &at, show); errors.Is(err, errEnough) {
			return at, nil
		} else if err != nil {
			return at, err
		}
		next := p.next()
		if next == "" || next == query["after"] {
			return at, nil
		}
		if made, ok := batch.ParseID(batch.PrefixBatch, next); ok && f.tooOld(made, now) {
			return at, nil
		}
		at.last, query["after"] = next, next
	}
	at.more = true
	return at, nil
}

// take calls show with those of some batches that f lets pass, and returns
// errEnough where none of those that follow is meant.
func (f *batchFilter) take(batches []openai.Batch, searches bool, now time.Time, at *walked, show func(*view) error) error {
	for _, b := range batches {
		v := &view{Batch: b}
		if f.tooOld(time.Unix(v.CreatedAt, 0), now) {
			return errEnough // and so are all that follow
		}
		at.last = v.ID
		searched := searches && v.ours()
		at.nameless = at.nameless || f.search != "" && !searched
		if !f.passes(v, searched) {
			continue
		}
		if err := show(v); err != nil {
			return err
		}
	}
	return nil
}

// tooOld reports whether a batch of a time is older than what is meant.
func (f *batchFilter) tooOld(made, now time.Time) bool { return f.since > 0 && now.Sub(made) > f.since }

func (a *app) list(ctx context.Context, c *client, after string, limit int, f batchFilter) error {
	perPage := min(limit, pageMax)
	if f.narrows() {
		perPage = pageMax
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	// Writing to a strings.Builder cannot fail.
	_, _ = fmt.Fprintln(w, "BATCH\tSTATUS\tDONE\tTOTAL\tNOT COMPLETED\tCREATED")
	shown := 0
	at, err := f.walk(ctx, c, after, perPage, a.env.Now(), func(v *view) error {
		if shown++; a.json {
			if err := v.printJSON(a.env.Stdout); err != nil {
				return err
			}
		}
		n := v.counts()
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n",
			v.ID, v.Status, n.Done(), n.Total, n.Done()-n.Completed, stamp(v.CreatedAt))
		if shown == limit {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !a.json && shown > 0 {
		_ = w.Flush()
		if err := write(a.env.Stdout, table.String()); err != nil {
			return err
		}
	}
	a.noteMore(shown, limit, f, at)
	return nil
}

// noteMore says what a list of batches leaves out, or why it is empty.
func (a *app) noteMore(shown, limit int, f batchFilter, at walked) {
	if at.nameless {
		a.note("This server cannot search: the names of input files were not looked at.")
	}
	switch {
	case shown == limit && !a.json, at.more:
		a.note("There may be more: musketry list%s", f.words(limit, at.last))
	case shown == 0 && !a.json && (f.narrows() || f.since > 0):
		a.note("No batch matches.")
	case shown == 0 && !a.json:
		a.note("There are no batches.")
	}
}

// words returns the flags that go on after a batch, as a shell reads them.
func (f *batchFilter) words(limit int, after string) string {
	text := ""
	if len(f.statuses) > 0 {
		text += " --status " + strings.Join(f.statuses, ",")
	}
	if f.search != "" {
		text += " --search " + shellWord(f.search)
	}
	for _, pair := range f.metadata {
		text += " --metadata " + shellWord(pair)
	}
	if f.sinceAs != "" {
		text += " --since " + f.sinceAs
	}
	if limit != listDefault {
		text += " --limit " + strconv.Itoa(limit)
	}
	return text + " --after " + after
}

// narrows reports whether f leaves out some of what a page has.
func (f *batchFilter) narrows() bool {
	return len(f.statuses) > 0 || len(f.metadata) > 0 || f.search != ""
}
