package execute_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/execute"
)

// TestTroubleIsLogged has one kind of operation fail, from its n-th time on, in
// a run that makes a call, retries one and finds an outcome: whoever runs the
// service is told of that, and of nothing where all goes well.
func TestTroubleIsLogged(t *testing.T) {
	t.Parallel()
	const lasts = 50 * time.Second
	for name, tc := range map[string]struct {
		op     string
		from   int
		once   bool   // it fails that time alone
		also   string // another kind, of which all fail
		want   []string
		metric string
	}{
		"nothing":           {},
		"heartbeat":         {op: "beat", from: 1, want: []string{"no first heartbeat: claiming nothing"}},
		"a later heartbeat": {op: "beat", from: 9, metric: "heartbeat_failures_total{}", want: []string{"a heartbeat failed"}},
		"all later heartbeats": {op: "beat", from: 2, metric: "heartbeat_failures_total{}", want: []string{
			"a heartbeat failed", "no heartbeat was acknowledged for too long: aborting all calls",
		}},
		"the end":          {op: "ended", from: 1, want: []string{"cannot mark the worker ended"}},
		"hiding":           {op: "visibility", from: 1, want: []string{"cannot hide messages"}},
		"the first hiding": {op: "visibility", from: 1, once: true, want: []string{"cannot hide messages"}},
		"deletion":         {op: "delete", from: 1, want: []string{"cannot delete messages", "cannot delete messages yet"}},
		"answers":          {op: "put", from: 1, want: []string{"cannot write a segment"}},
		"outcome":          {op: "outcome", from: 1, want: []string{"cannot record what came of a call"}},
		"retry":            {op: "retry", from: 1, want: []string{"cannot record what came of a call"}},
		"journal":          {op: "journal", from: 1, metric: "journal_failures_total{}", want: []string{"cannot enter lines into the journal"}},
		"counts":           {op: "counter", from: 1, want: []string{"cannot write counts"}},
		"recount":          {op: "ask", from: 1, want: []string{"cannot have an outcome counted"}},
		"outcome and recount": {op: "outcome", from: 1, also: "ask", want: []string{
			"cannot have an outcome counted", "cannot record what came of a call",
		}},
		"progress": {op: "progress", from: 1, want: []string{"cannot see whether the flow is to be woken"}},
		"wake":     {op: "wake", from: 1, want: []string{"cannot wake the flow"}},
		"poll": {op: "batch", from: 2, metric: "cancellation_poll_errors_total{}", want: []string{
			"cannot look at a batch", "cannot see whether the flow is to be woken",
		}},
		"receive": {op: "receive", from: 1, metric: "receive_failures_total{}", want: []string{"cannot receive messages"}},
		"start":   {op: "start", from: 1, want: []string{"cannot go on with a request"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(3))
				w.up.answer = func(_ context.Context, line, before int) (execute.Reply, error) {
					switch {
					case line == 1:
						time.Sleep(lasts)
					case line == 2 && before == 0:
						return status(500)
					}
					return ok("{}")
				}
				w.send(3)
				w.invoke(&machine{world: w}, w.process(&machine{world: w}, execute.Config{}), w.deliver(1))
				w.sendAll(3)
				m := &machine{world: w, plan: func(op string, n int) fault {
					if op == tc.op && (n == tc.from || n > tc.from && !tc.once) || op == tc.also {
						return failBefore
					}
					return none
				}}
				w.invoke(m, w.process(m, execute.Config{}), w.deliver(3))
				if diff := cmp.Diff(tc.want, w.logs.messages()); diff != "" {
					t.Errorf("the log (-want +got):\n%s", diff)
				}
				if tc.metric != "" && w.stats.of(tc.metric) == 0 {
					t.Errorf("%s was not counted", tc.metric)
				}
				w.kept()
			})
		})
	}
}
