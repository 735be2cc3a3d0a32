package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"
)

const (
	mediaType = "application/jsonl"
	// uploadsAtOnce is how many parts are on their way at the same time.
	uploadsAtOnce = 4
	// cleanupTimeout bounds the call that gives up an upload.
	cleanupTimeout = 10 * time.Second
)

// upload sends a file and returns the id that the server gave it.
func (a *app) upload(ctx context.Context, c *client, in *input) (string, error) {
	if in.bytes > pieceBytes {
		return a.uploadParts(ctx, c, in)
	}
	params := openai.FileNewParams{
		File:    openai.File(io.NewSectionReader(in.file, 0, in.bytes), in.label, cmp.Or(in.media, mediaType)),
		Purpose: in.purpose,
	}
	if in.life > 0 {
		params.ExpiresAfter = openai.FileNewParamsExpiresAfter{Seconds: in.life}
	}
	f, err := c.files.New(ctx, params)
	if err != nil {
		return "", fmt.Errorf("sending %s: %w", in.name, err)
	}
	return f.ID, nil
}

// uploadParts sends a file in parts, several at a time. What was sent is given
// up if it cannot be sent whole.
func (a *app) uploadParts(ctx context.Context, c *client, in *input) (string, error) {
	params := openai.UploadNewParams{
		Bytes: in.bytes, Filename: in.label, MimeType: cmp.Or(in.media, mediaType), Purpose: in.purpose,
	}
	if in.life > 0 {
		params.ExpiresAfter = openai.UploadNewParamsExpiresAfter{Seconds: in.life}
	}
	up, err := c.uploads.New(ctx, params)
	if err != nil {
		return "", fmt.Errorf("sending %s: %w", in.name, err)
	}
	fileID, err := a.sendParts(ctx, c, in, up.ID)
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		// An upload that nobody completes ends by itself within the hour.
		_, _ = c.uploads.Cancel(clean, up.ID)
		return "", err
	}
	return fileID, nil
}

func (a *app) sendParts(ctx context.Context, c *client, in *input, uploadID string) (string, error) {
	n := int((in.bytes + pieceBytes - 1) / pieceBytes)
	sent := a.uploadProgress(in, n)
	defer sent.close()
	ids := make([]string, n)
	group, partsCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploadsAtOnce)
	for i := range n {
		offset := int64(i) * pieceBytes
		length := min(pieceBytes, in.bytes-offset)
		group.Go(func() error {
			part, err := c.uploads.Parts.New(partsCtx, uploadID, openai.UploadPartNewParams{
				Data: openai.File(io.NewSectionReader(in.file, offset, length), "part", "application/octet-stream"),
			})
			if err != nil {
				return fmt.Errorf("sending %s, part %d of %d: %w", in.name, i+1, n, err)
			}
			ids[i] = part.ID
			sent.add(length)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	up, err := c.uploads.Complete(ctx, uploadID, openai.UploadCompleteParams{PartIDs: ids})
	if err != nil {
		return "", fmt.Errorf("completing %s of %d parts: %w", in.name, n, err)
	}
	if up.File.ID == "" {
		return "", fmt.Errorf("completing %s: the server named no file", in.name)
	}
	return up.File.ID, nil
}

// An uploadProgress shows how much of a file was sent: a bar on a terminal, a
// line now and then otherwise. Its methods may be called at the same time.
type uploadProgress struct {
	a   *app
	in  *input
	bar *progressbar.ProgressBar // nil: lines

	mu          sync.Mutex
	begin, last time.Time
	sent        int64
}

func (a *app) uploadProgress(in *input, parts int) *uploadProgress {
	p := &uploadProgress{a: a, in: in, begin: a.env.Now()}
	p.last = p.begin
	if !a.env.Terminal || a.json {
		a.note("Sending %s: %s in %s", in.name, size(in.bytes), number(parts, "part"))
		return p
	}
	p.bar = progressbar.NewOptions64(
		in.bytes,
		progressbar.OptionSetWriter(a.env.Stderr),
		progressbar.OptionSetWidth(barCells(a.env.Width())),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowCount(),
		progressbar.OptionSetTheme(progressbar.ThemeDefault),
		progressbar.OptionSetDescription("Sending "+clip(printable(filepath.Base(in.name)), barCeiling)),
		progressbar.OptionSetRenderBlankState(true),
	)
	return p
}

func (p *uploadProgress) add(n int64) {
	if p.bar != nil {
		// A bar that cannot be drawn is no reason to stop sending.
		_ = p.bar.Add64(n)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += n
	now := p.a.env.Now()
	if now.Sub(p.last) < lineEvery || p.sent == p.in.bytes {
		return
	}
	p.last = now
	perSecond := float64(p.sent) / now.Sub(p.begin).Seconds()
	left := time.Duration(float64(p.in.bytes-p.sent) / perSecond * float64(time.Second))
	p.a.note("%s sent %s of %s, %s/s, %s to go", stamp(now.Unix()), size(p.sent), size(p.in.bytes), size(int64(perSecond)), span(left))
}

func (p *uploadProgress) close() {
	if p.bar != nil {
		_ = p.bar.Exit()
		_, _ = fmt.Fprintln(p.a.env.Stderr)
	}
}
