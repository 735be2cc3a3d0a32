package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
)

var errStep = errors.New("no")

// A recorder keeps what it was asked.
type recorder struct {
	asked string
	err   error
}

func (r *recorder) Advance(_ context.Context, ref batch.Ref) (finalize.Next, error) {
	r.asked = "advance " + ref.Tenant + " " + ref.ID
	return finalize.NextLong, r.err
}

func (r *recorder) Park(_ context.Context, ref batch.Ref, token string) error {
	r.asked = "park " + ref.Tenant + " " + ref.ID + " " + token
	return r.err
}

func (r *recorder) Abandon(_ context.Context, ref batch.Ref, cause string) error {
	r.asked = "abandon " + ref.Tenant + " " + ref.ID + " " + cause
	return r.err
}

func (r *recorder) Sweep(context.Context) error {
	r.asked = "sweep"
	return r.err
}

func (r *recorder) Ended(_ context.Context, flow string) error {
	r.asked = "ended " + flow
	return r.err
}

// TestHandle has the payloads of the flow's definition and of the sweep's rules, and their answers.
func TestHandle(t *testing.T) {
	t.Parallel()
	answers := batch.FlowAnswers()
	answers["park_long"] = batch.FlowAnswer{Since: 2, Instead: "park_medium"}
	answers["park_medium"] = batch.FlowAnswer{Since: 1, Instead: "park_short"}
	for name, tt := range map[string]struct {
		payload, asked, answer string
		fails                  bool
	}{
		"advance": {
			`{"version":2,"task":"advance","tenant":"t","batch":"b"}`, "advance t b",
			`{"tenant":"t","batch":"b","next":"park_long"}`, false,
		},
		"advance of an older flow": {
			`{"version":1,"task":"advance","tenant":"t","batch":"b"}`, "advance t b",
			`{"tenant":"t","batch":"b","next":"park_medium"}`, false,
		},
		"advance of a flow before versions": {
			`{"task":"advance","tenant":"t","batch":"b"}`, "advance t b",
			`{"tenant":"t","batch":"b","next":"park_short"}`, false,
		},
		"no task of this version": {`{"version":1,"task":"look","tenant":"t","batch":"b"}`, "", "", true},
		"park": {
			`{"task":"park","tenant":"t","batch":"b","token":"k"}`, "park t b k",
			`{"tenant":"t","batch":"b","next":""}`, false,
		},
		"abandon": {
			`{"task":"abandon","tenant":"t","batch":"b","cause":"{\"Error\":\"E\"}"}`, `abandon t b {"Error":"E"}`,
			`{"tenant":"t","batch":"b","next":"end"}`, false,
		},
		"a task of a later flow": {
			`{"version":2,"task":"look","tenant":"t","batch":"b"}`, "",
			`{"tenant":"t","batch":"b","next":"advance"}`, false,
		},
		"sweep":    {`{"task":"sweep"}`, "sweep", `{"tenant":"","batch":"","next":""}`, false},
		"ended":    {`{"task":"ended","flow":"f-2"}`, "ended f-2", `{"tenant":"","batch":"","next":""}`, false},
		"no token": {`{"task":"park","tenant":"t","batch":"b"}`, "", "", true},
		"no batch": {`{"task":"advance","tenant":"t"}`, "", "", true},
		"no task":  {`{"tenant":"t","batch":"b"}`, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var in task
			if err := json.Unmarshal([]byte(tt.payload), &in); err != nil {
				t.Fatal(err)
			}
			r, flushed := &recorder{}, 0
			out, err := handler{answers, r, r, func() { flushed++ }}.handle(t.Context(), in)
			if r.asked != tt.asked || (err != nil) != tt.fails || flushed != 1 {
				t.Fatalf("asked %q, %v, flushed %d times", r.asked, err, flushed)
			}
			if tt.fails {
				return
			}
			if got, err := json.Marshal(out); string(got) != tt.answer || err != nil {
				t.Errorf("answer is %s, %v", got, err)
			}
			if r.asked == "" {
				return
			}
			r.err = errStep
			if _, err := (handler{answers, r, r, func() { flushed++ }}).handle(t.Context(), in); !errors.Is(err, errStep) {
				t.Errorf("error is %v", err)
			}
		})
	}
}
