package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// barFloor and barCeiling bound a bar's columns, barRest is what it has besides
	// in front of the words, and guess the columns of a terminal that does not tell.
	barFloor   = 10
	barCeiling = 30
	barRest    = 12
	guess      = 80
	// lineEvery and lineAtLeast bound how often plain lines tell of progress:
	// no sooner than 10 s while things move, and every minute while they do not.
	lineEvery   = 10 * time.Second
	lineAtLeast = time.Minute
)

// A display shows a batch's progress on its way.
type display interface {
	// show shows the batch as it is now.
	show(p progress) error
	// trouble says that the batch cannot be seen for the moment.
	trouble(err error)
	// close ends the display, so that what is written next has a line of its own.
	close()
}

// A progress is a batch at one moment.
type progress struct {
	view      *view
	at        time.Time
	status    batch.Status
	counts    batch.Counts
	retrying  int           // requests that failed and are tried again; 0: none, or unknown
	rate      float64       // requests a second; 0: unknown
	remaining time.Duration // 0: unknown
}

// detail returns the progress in words, its status left out.
func (p progress) detail() string {
	if p.counts.Total == 0 {
		return ""
	}
	parts := append([]string{fmt.Sprintf("%d/%d done", p.counts.Done(), p.counts.Total)}, bad(p.counts)...)
	if p.retrying > 0 {
		parts = append(parts, fmt.Sprintf("%d retrying", p.retrying))
	}
	if p.status == batch.StatusInProgress && p.counts.Done() < p.counts.Total {
		if p.rate > 0 {
			parts = append(parts, speed(p.rate))
		}
		if p.remaining >= time.Second {
			parts = append(parts, span(p.remaining)+" to go")
		}
	}
	reasons := p.view.reasons()
	if len(reasons) > 0 {
		parts = append(parts, "waits: "+reasons[0].short())
	}
	if n := len(reasons) - 1; n > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(parts, ", ")
}

// words returns the progress in words.
func (p progress) words() string {
	return strings.TrimSpace(string(p.status) + " " + p.detail())
}

// barWords returns the progress in words behind a bar, in so many columns: while
// requests are done, that the batch is in progress goes without saying.
func (p progress) barWords(columns int) string {
	words := p.words()
	if p.status == batch.StatusInProgress && p.counts.Total > 0 {
		words = p.detail()
	}
	return clip(words, columns)
}

// clip returns a text in so many columns at most, each of its runes in one.
func clip(text string, columns int) string {
	runes := []rune(text)
	if len(runes) <= columns {
		return text
	}
	return string(runes[:max(columns-1, 0)]) + "…"
}

// told is what was said of why a batch's requests wait.
type told map[string]bool

// news returns what keeps requests and who can mend it, each once, a line each.
func (t told) news(v *view) string {
	var text strings.Builder
	for _, r := range v.reasons() {
		if !t[r.Message] {
			t[r.Message] = true
			text.WriteString("  " + r.words() + "\n")
		}
	}
	return text.String()
}

func speed(rate float64) string {
	switch {
	case rate >= 10:
		return fmt.Sprintf("%.0f/s", rate)
	case rate >= 1:
		return fmt.Sprintf("%.1f/s", rate)
	}
	return fmt.Sprintf("%.1f/min", rate*60)
}

var (
	_ display = (*barDisplay)(nil)
	_ display = (*lineDisplay)(nil)
	_ display = (*jsonDisplay)(nil)
)

// display returns the one that fits the terminal and the flags.
func (a *app) display() display {
	switch {
	case a.json:
		return &jsonDisplay{out: a.env.Stdout, err: a.env.Stderr}
	case a.env.Terminal:
		return newBarDisplay(a.env.Stderr, a.env.Width)
	}
	return &lineDisplay{w: a.env.Stderr, now: a.env.Now, told: told{}}
}

// A barDisplay draws a bar on a terminal, over and over on the same line.
type barDisplay struct {
	w     io.Writer
	width func() int // of the terminal, 0 if unknown
	cells int        // of the bar
	bar   *progressbar.ProgressBar
	told  told
}

func newBarDisplay(w io.Writer, width func() int) *barDisplay {
	cells := barCells(width())
	return &barDisplay{w: w, width: width, cells: cells, bar: newBar(w, 1, cells), told: told{}}
}

// barCells returns how many columns a bar has on a terminal.
func barCells(columns int) int {
	if columns <= 0 {
		columns = guess
	}
	return min(max((columns-60)/2, barFloor), barCeiling)
}

// room returns the columns that are left for words. Who resizes the terminal has
// them cut, since a line that wraps could not be drawn over.
func (d *barDisplay) room() int {
	columns := d.width()
	if columns <= 0 {
		columns = guess
	}
	return columns - d.cells - barRest
}

// newBar returns a bar of so many steps and cells. Rate and time to go are not
// the library's: it would count what was done before the watch as done at once.
func newBar(w io.Writer, steps, cells int) *progressbar.ProgressBar {
	return progressbar.NewOptions(
		steps,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(cells),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetTheme(progressbar.ThemeDefault),
	)
}

func (d *barDisplay) show(p progress) error {
	if p.counts.Total > 0 && p.counts.Total != d.bar.GetMax() {
		d.bar.ChangeMax(p.counts.Total)
	}
	if news := d.told.news(p.view); news != "" {
		if err := d.bar.Clear(); err != nil {
			return fmt.Errorf("the progress bar: %w", err)
		}
		if _, err := io.WriteString(d.w, news); err != nil {
			return fmt.Errorf("standard error: %w", err)
		}
	}
	d.bar.Describe(p.barWords(d.room()))
	full := d.bar.GetMax()
	if !p.status.Terminal() {
		// A full bar is drawn no more, but the batch still has its files to write.
		full--
	}
	if err := d.bar.Set(min(p.counts.Done(), full)); err != nil {
		return fmt.Errorf("the progress bar: %w", err)
	}
	return nil
}

func (d *barDisplay) trouble(err error) {
	d.bar.Describe(clip("no answer, trying again: "+firstLine(err.Error()), d.room()))
}

func (d *barDisplay) close() {
	_ = d.bar.Exit()
	_, _ = fmt.Fprintln(d.w)
}

// A lineDisplay writes a line now and then.
type lineDisplay struct {
	w      io.Writer
	now    func() time.Time
	last   time.Time
	words  string
	status batch.Status
	told   told
}

func (d *lineDisplay) show(p progress) error {
	since := p.at.Sub(d.last)
	words := p.words()
	moved := words != d.words && since >= lineEvery
	if p.status == d.status && !p.status.Terminal() && !moved && since < lineAtLeast {
		return nil
	}
	d.last, d.words, d.status = p.at, words, p.status
	_, err := fmt.Fprintf(d.w, "%s %s\n%s", p.at.UTC().Format(time.RFC3339), words, d.told.news(p.view))
	if err != nil {
		return fmt.Errorf("standard error: %w", err)
	}
	return nil
}

func (d *lineDisplay) trouble(err error) {
	_, _ = fmt.Fprintf(d.w, "%s no answer, trying again: %s\n", d.now().UTC().Format(time.RFC3339), firstLine(err.Error()))
}

func (d *lineDisplay) close() {}

// A jsonDisplay writes the batch each time that it has changed.
type jsonDisplay struct {
	out, err io.Writer
	last     string
}

func (d *jsonDisplay) show(p progress) error {
	if p.view.RawJSON() == d.last {
		return nil
	}
	d.last = p.view.RawJSON()
	return p.view.printJSON(d.out)
}

func (d *jsonDisplay) trouble(err error) {
	_, _ = fmt.Fprintf(d.err, "no answer, trying again: %s\n", firstLine(err.Error()))
}

func (d *jsonDisplay) close() {}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
