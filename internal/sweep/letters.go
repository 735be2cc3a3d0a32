package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/state"
)

// sendBack sends dead letters to their queue again. One whose request or batch
// has ended goes too: the worker that receives it deletes it. What names no
// request stays, for people to look at.
//
// What a crash after each write leaves:
//
//	the message   a dead letter whose message is on its way: it is sent twice
//	its deletion  nothing
func (s *Sweeper) sendBack(ctx context.Context) error {
	seen := map[string]bool{}
	for len(seen) < s.config.Letters && !s.short(ctx) {
		letters, err := s.Letters.Receive(ctx)
		if err != nil {
			return fmt.Errorf("sweep: receive dead letters: %w", err)
		}
		before := len(seen)
		messages, handles := s.unseen(ctx, letters, seen)
		if len(seen) == before {
			return nil
		}
		if err := s.forward(ctx, messages, handles); err != nil {
			return err
		}
	}
	return nil
}

// unseen returns the messages of those letters that are not seen yet, and their
// handles. From now on they are.
func (s *Sweeper) unseen(
	ctx context.Context, letters []batch.DeadLetter, seen map[string]bool,
) (messages []batch.Message, handles []string) {
	for _, l := range letters {
		if seen[l.ID] {
			continue // it stayed, and came again
		}
		seen[l.ID] = true
		if m, ok := s.read(ctx, l); ok {
			messages, handles = append(messages, m), append(handles, l.Handle)
		}
	}
	return messages, handles
}

func (s *Sweeper) forward(ctx context.Context, messages []batch.Message, handles []string) error {
	if len(messages) == 0 {
		return nil
	}
	if err := s.Queue.Send(ctx, messages); err != nil {
		return fmt.Errorf("sweep: send dead letters again: %w", err)
	}
	if err := s.Letters.Delete(ctx, handles); err != nil {
		return fmt.Errorf("sweep: delete dead letters: %w", err)
	}
	s.Metrics.Count(metric.DeadLetters, len(messages), "outcome", "sent_again")
	return nil
}

// read returns the message of a dead letter, and tells of it with what is known
// of why it came so far; false if it is no message of ours. Its text is not told:
// who knows what it is.
func (s *Sweeper) read(ctx context.Context, l batch.DeadLetter) (batch.Message, bool) {
	m, err := batch.DecodeMessage(l.Body)
	if err != nil {
		s.Metrics.Count(metric.DeadLetters, 1, "outcome", "kept")
		s.Log.ErrorContext(ctx, "a dead letter names no request and stays", slog.String("message", l.ID),
			slog.Int("bytes", len(l.Body)))
		return batch.Message{}, false
	}
	attrs := append([]slog.Attr{
		slog.String("batch", m.Batch), slog.Int("line", m.Line), slog.Duration("age", s.Clock().Sub(l.SentAt).Round(time.Second)),
	}, s.reason(ctx, m)...)
	s.Log.LogAttrs(ctx, slog.LevelWarn, "the queue gave a message up, which is sent again", attrs...)
	return m, true
}

// reason tells how a dead letter's request stands: why its message came back so
// often.
func (s *Sweeper) reason(ctx context.Context, m batch.Message) []slog.Attr {
	rec, err := s.Requests.Request(ctx, m.Key())
	if err != nil {
		return []slog.Attr{slog.String("request", "unknown"), slog.String("error", err.Error())}
	}
	attrs := []slog.Attr{slog.String("request", string(rec.Phase.Status()))}
	switch p := rec.Phase.(type) {
	case state.Pending:
		attrs = append(attrs, slog.Int("attempt", p.Attempt), slog.Int("reclaims", p.Reclaims), slog.String("last", p.Last))
	case state.Claimed:
		attrs = append(attrs, slog.Int("attempt", p.Attempt), slog.Int("reclaims", p.Reclaims), slog.String("last", p.Last))
	case state.Processing:
		attrs = append(attrs, slog.Int("attempt", p.Attempt), slog.Int("reclaims", p.Reclaims), slog.String("last", p.Last))
	case state.Completed, state.Failed, state.Canceled:
	}
	return attrs
}
