//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/doctor"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
)

// A surgery runs "musketry doctor".
type surgery struct {
	bin string
	env []string
}

func newSurgery(t *testing.T, env ...string) surgery {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "musketry")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/musketry").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return surgery{bin: bin, env: append(os.Environ(), env...)}
}

// look returns what doctor finds. Its exit code must say whether a failure is among it.
func (s surgery) look(t *testing.T, args ...string) []doctor.Finding {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.bin, append([]string{"doctor", "--json"}, args...)...)
	cmd.Env = s.env
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	}
	var found []doctor.Finding
	worst := 0
	for line := range bytes.Lines(out) {
		var f doctor.Finding
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if f.Status == doctor.Failure {
			worst = 4
		}
		found = append(found, f)
	}
	if code != worst || len(found) == 0 {
		t.Fatalf("exit code %d, want %d: %s%s", code, worst, out, problems.Bytes())
	}
	return found
}

// TestDoctorSmoke has doctor send its batches through the stack: every step shows what it is there for.
func TestDoctorSmoke(t *testing.T) {
	t.Parallel()
	// The address that the stack names is of AWS.
	found := newSurgery(t).look(t, "--smoke", "--base-url", variable(t, "OPENAI_BASE_URL"), "--model", "standin", "--slow-model", "standin:latency=60s")
	steps := []string{"smoke/answer", "smoke/names", "smoke/large", "smoke/cut", "smoke/cancel", "smoke/expiry", "smoke/early"}
	for _, f := range found {
		if !strings.HasPrefix(f.Check, "smoke/") {
			continue // what other tests have made of the stack meanwhile
		}
		t.Logf("%s: %s", f.Check, f.Message)
		if f.Status != doctor.OK {
			t.Errorf("%+v", f)
		}
		steps = slices.DeleteFunc(steps, func(step string) bool { return step == f.Check })
	}
	if len(steps) > 0 {
		t.Errorf("not told of: %v", steps)
	}
}

// TestDoctorNamesWhatIsWrong makes eight misconfigurations, and demands that doctor names each and says what to do.
//
//nolint:paralleltest // it disables the event source of every test
func TestDoctorNamesWhatIsWrong(t *testing.T) {
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := wrong{t: t, cfg: cfg, name: strings.ToLower(marker(t))}
	wanted := []doctor.Finding{
		{Check: "concurrency", Message: "has 10 invocations"},
		{Check: "providers", Subject: w.missingKey(), Message: "its key is missing"},
		{Check: "providers", Subject: w.refusedKey(), Message: "refuses its key: it answers 401"},
		{Check: "providers", Subject: w.deadProvider(), Message: "cannot be reached"},
		{Check: "pauses", Subject: w.pausedRoute(), Message: "paused (quota_spent)"},
		{Check: "batches", Subject: w.batchWithoutFlow(), Message: "no running flow: flow 1 is absent"},
		{Check: "dead-letters", Message: "dead letters"},
		{Check: "source", Message: "isabl"}, // Disabling, then Disabled
	}
	w.deadLetter()
	w.disabledSource()
	found := newSurgery(t, "AWS_ENDPOINT_URL_LAMBDA="+w.smallAccount()).look(t)
	for _, want := range wanted {
		at := slices.IndexFunc(found, func(f doctor.Finding) bool {
			return f.Check == want.Check && f.Status == doctor.Failure && strings.Contains(f.Message, want.Message) &&
				(want.Subject == "" || f.Subject == want.Subject)
		})
		if at < 0 || found[at].Remedy == "" {
			t.Errorf("%s %s: %q is not named, or not what to do: %+v", want.Check, want.Subject, want.Message, found)
			continue
		}
		t.Logf("%s %s: %s; %s", found[at].Check, found[at].Subject, found[at].Message, found[at].Remedy)
	}
}

// TestDoctorWithoutAFault holds the test above to its wrongs: without them its account and its source are well.
//
//nolint:paralleltest // others disable the event source
func TestDoctorWithoutAFault(t *testing.T) {
	for _, f := range newSurgery(t).look(t) {
		if slices.Contains([]string{"table", "bucket", "functions", "source", "concurrency", "queue", "models"}, f.Check) && f.Status != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
}

// A wrong makes misconfigurations, and mends them at the test's end.
type wrong struct {
	t    *testing.T
	cfg  aws.Config
	name string
}

// model stores a model of one route, which it removes at the end, and returns the route's id.
func (w wrong) model(name string, r route.Route) string {
	w.t.Helper()
	r.Name = "own"
	m := route.Model{Pattern: w.name + "-" + name, Routes: []route.Route{r}}
	putModel(w.t, m)
	w.t.Cleanup(func() { _ = w.store().DeleteModel(context.WithoutCancel(w.t.Context()), m.Pattern, 1) }) // the stack's, whatever becomes of it
	return m.Pattern + "#own"
}

func (w wrong) store() *dynamostore.Store {
	w.t.Helper()
	store, err := dynamostore.New(dynamostore.NewClient(w.cfg), dynamostore.Config{
		Table: variable(w.t, boot.EnvTable), Admin: variable(w.t, boot.EnvAdminTable), Now: time.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return store
}

func (w wrong) missingKey() string {
	r := toStandin(w.t, "own", "")
	r.Auth = route.Auth{Kind: route.Bearer, Key: "ssm:" + w.name + "-missing"}
	return w.model("missing", r)
}

// refusedKey has a provider that takes no key.
func (w wrong) refusedKey() string {
	w.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) }))
	w.t.Cleanup(server.Close)
	_, err := ssm.NewFromConfig(w.cfg).PutParameter(w.t.Context(), &ssm.PutParameterInput{
		Name: aws.String("/musketry/keys/" + w.name + "-bad"), Value: aws.String("sk-bad"), Type: types.ParameterTypeSecureString,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.model("refused", route.Route{
		BaseURL: server.URL + "/v1", Auth: route.Auth{Kind: route.Bearer, Key: "ssm:" + w.name + "-bad"}, AllowPrivate: true,
	})
}

func (w wrong) deadProvider() string {
	return w.model("dead", route.Route{BaseURL: "http://" + closedPort(w.t) + "/v1", Auth: route.Auth{Kind: route.None}, AllowPrivate: true})
}

func (w wrong) pausedRoute() string {
	w.t.Helper()
	id := w.model("paused", toStandin(w.t, "own", ""))
	_, err := w.store().UpdateLimit(w.t.Context(), id, func(r *limit.Record) error {
		now := time.Now()
		r.CallAt = limit.At(now) // what nobody calls for long is forgotten
		r.Pause = limit.Pause{Why: limit.QuotaSpent, Since: limit.At(now), Until: limit.At(now.Add(time.Hour))}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// batchWithoutFlow enters a batch of five minutes ago among those that run: too old to have no flow, and too young for the
// sweep to forget.
func (w wrong) batchWithoutFlow() string {
	w.t.Helper()
	id, err := batch.NewID(batch.PrefixBatch, time.Now().Add(-5*time.Minute), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	r := batch.Running{Ref: batch.Ref{Tenant: "tenant-1", ID: id}, Deadline: time.Now().Add(time.Hour), Flow: 1}
	if err := w.store().CreateRunning(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.store().RemoveRunning(context.WithoutCancel(w.t.Context()), r) }) // else the sweep does
	return id
}

// deadLetter gives the dead-letter queue a message that is none of ours, and takes it out at the end.
func (w wrong) deadLetter() {
	w.t.Helper()
	queues, queue, text := sqs.NewFromConfig(w.cfg), variable(w.t, boot.EnvDeadLettersURL), "no request of "+w.name
	if _, err := queues.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &text}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx := context.WithoutCancel(w.t.Context())
		until(ctx, w.t, patience, "the dead letter is taken out", func() bool {
			out, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
				QueueUrl: &queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 1,
			})
			if err != nil {
				return false
			}
			for i := range out.Messages {
				if aws.ToString(out.Messages[i].Body) == text {
					_, err := queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: out.Messages[i].ReceiptHandle})
					return err == nil
				}
			}
			return false
		})
	})
}

// disabledSource disables the queue's event source, and enables it at the end.
func (w wrong) disabledSource() {
	w.t.Helper()
	functions := lambda.NewFromConfig(w.cfg)
	out, err := functions.ListEventSourceMappings(w.t.Context(), &lambda.ListEventSourceMappingsInput{})
	if err != nil || len(out.EventSourceMappings) != 1 {
		w.t.Fatalf("%v, %+v", err, out)
	}
	set := func(ctx context.Context, enabled bool) {
		_, err := functions.UpdateEventSourceMapping(ctx,
			&lambda.UpdateEventSourceMappingInput{UUID: out.EventSourceMappings[0].UUID, Enabled: &enabled})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Cleanup(func() { set(context.WithoutCancel(w.t.Context()), true) })
	set(w.t.Context(), false)
}

// smallAccount returns the address of a Lambda that is the engine's, of an account with 10 invocations.
func (w wrong) smallAccount() string {
	w.t.Helper()
	engine, err := url.Parse(variable(w.t, "AWS_ENDPOINT_URL"))
	if err != nil {
		w.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(engine)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), "/account-settings") {
			proxy.ServeHTTP(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"AccountLimit":{"ConcurrentExecutions":10,"UnreservedConcurrentExecutions":10}}`)) // to ourselves
	}))
	w.t.Cleanup(server.Close)
	return server.URL
}
