package finalize_test

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/finalize"
)

// TestLogs has requests that are gone, messages that are lost, and outcomes that
// nobody counted, and holds what an operator reads of it.
func TestLogs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		gone bool // the input is gone as well
		want []string
	}{
		"gone": {false, []string{`msg="requests are missing" batch=batch_1 first=2 last=2`}},
		"gone, and the input too": {true, []string{
			`msg="requests are missing" batch=batch_1 first=2 last=2`,
			`msg="a missing request is not in the input either" batch=batch_1 line=2`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 5, 10, 2)
				f := w.finalizer(nil)
				var log bytes.Buffer
				f.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
					ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
						if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
							return slog.Attr{}
						}
						return a
					},
				}))
				if tc.gone {
					f.Objects = noInput{w.files}
				}
				reads := func(what string, want ...string) {
					t.Helper()
					if _, err := f.Advance(t.Context(), w.ref); err != nil {
						t.Fatal(err)
					}
					var got []string
					for line := range bytes.Lines(log.Bytes()) {
						got = append(got, string(bytes.TrimSpace(line)))
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s (-want +got):\n%s", what, diff)
					}
					log.Reset()
				}
				reads("all is well")
				w.count("w1", w.call("w1", 1)...)
				w.call("w1", 3)
				w.drop()
				w.ask()
				time.Sleep(finalize.LongPark)
				reads("lost", `msg="counters repaired" batch=batch_1 counter=w1 requests=1`,
					`msg="requests enqueued again" batch=batch_1 requests=2 waiting=2`)
				reads("right after that")
				w.cancel()
				reads("the end", append(tc.want, `msg="batch sealed" batch=batch_1 completed=1 failed=1 expired=0 canceled=3`,
					`msg="batch ended" batch=batch_1 status=cancelled`)...)
			})
		})
	}
}
