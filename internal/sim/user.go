package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/inspect"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// apiLimit is how long API Gateway waits for an answer
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html).
const apiLimit = 29 * time.Second

// A response is what the API answered.
type response struct {
	status int
	header http.Header
	body   []byte
}

// ask asks the API, each time in a process of its own.
func (w *world) ask(who, method, path, key, body string, header map[string]string) response {
	w.mu.Lock()
	w.asked++
	name := fmt.Sprintf("api %s.%d", who, w.asks(who))
	w.mu.Unlock()
	p := w.process(name)
	out := w.promise()
	p.ended = func() { out.set(response{status: http.StatusBadGateway}, nil) }
	w.sched.after(name+" times out", apiLimit, func() { out.set(response{status: http.StatusGatewayTimeout}, nil) })
	w.spawn(func() {
		ctx, cancel := context.WithTimeout(context.Background(), apiLimit)
		defer cancel()
		_ = w.sched.await(ctx, p, name+" "+method+" "+path, time.Millisecond)
		r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Content-Type", "application/json")
		for k, v := range header {
			r.Header.Set(k, v)
		}
		rec := httptest.NewRecorder()
		w.handlerOf(p).ServeHTTP(rec, r)
		_ = w.sched.await(context.Background(), p, name+" answers", time.Millisecond)
		w.sched.note(name+" "+method+" "+path, fmt.Sprint(rec.Code))
		out.set(response{status: rec.Code, header: rec.Header(), body: rec.Body.Bytes()}, nil)
	})
	select {
	case <-out.done:
	case <-w.over:
		runtime.Goexit()
	}
	got, _ := out.value.(response)
	return got
}

// asks counts the calls of one user; w.mu is held.
func (w *world) asks(who string) int {
	w.calls[who]++
	return w.calls[who]
}

// handlerOf returns the API as a process of it serves it.
func (w *world) handlerOf(p *process) http.Handler {
	q := ports{p}
	acceptor := submit.NewAcceptor(submit.AcceptDeps{
		Store: q, Flow: q, Receipts: q, Clock: p.now, Random: p, Log: slog.New(w.handler(p)),
	}, submit.AcceptConfig{Policy: w.plan.policy, Limits: w.plan.limits})
	inspector := inspect.New(inspect.Deps{Requests: q, Batches: q, Objects: q, Flow: q, Clock: p.now})
	return api.New(api.Deps{
		Keys: q, Files: fileLister{q, w}, Batches: q, Objects: objects{q, w}, Contents: q, Parts: q, Uploads: w.store, Quotas: q,
		Acceptor: acceptor, Requests: inspector, Logger: slog.New(w.handler(p)), Clock: p.now, Random: p,
	}, api.Config{})
}

// A fileLister has what of files no user of the simulation asks for.
type fileLister struct {
	ports
	w *world
}

func (f fileLister) DeleteFile(ctx context.Context, file batch.File) error {
	return f.w.store.DeleteFile(ctx, file)
}

func (f fileLister) Files(ctx context.Context, name string, q batch.FileQuery) ([]batch.File, bool, error) {
	return f.w.store.Files(ctx, name, q)
}

// objects has what of objects no user of the simulation asks for.
type objects struct {
	ports
	w *world
}

func (o objects) List(ctx context.Context, prefix string) ([]batch.Stored, error) {
	return o.w.files.List(ctx, prefix)
}
func (o objects) Delete(ctx context.Context, key string) error { return o.w.files.Delete(ctx, key) }
func (o objects) DeleteAll(ctx context.Context, prefix string) error {
	return o.w.files.DeleteAll(ctx, prefix)
}

// upload puts a job's file, and a key for its tenant, before anything happens.
func (w *world) upload(j *job) {
	ctx := context.Background()
	random := newStream(w.seed, "file", j.nick)
	now := time.Now()
	id, err := batch.NewID(batch.PrefixFile, now, random)
	if err == nil {
		var k tenant.Key
		if j.key, k, err = tenant.NewKey(j.tenant, "sim", random, now); err == nil {
			err = w.store.PutKey(ctx, k)
		}
	}
	var text bytes.Buffer
	for i := range j.lines {
		fmt.Fprintf(&text, `{"custom_id":"%s-%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[%d,%q]}}`+"\n",
			j.nick, i+1, i+1, strings.Repeat("x", 20))
	}
	if j.bad {
		text.WriteString("{\"custom_id\":\n")
	}
	j.fileID = id
	if err == nil {
		err = w.files.Put(ctx, batch.FileKey(j.tenant, id), text.Bytes())
	}
	if err == nil {
		err = w.store.CreateFile(ctx, batch.File{
			Tenant: j.tenant, ID: id, Purpose: batch.PurposeBatch, Bytes: int64(text.Len()), CreatedAt: now,
			ExpiresAt: now.Add(30 * 24 * time.Hour),
		})
	}
	if err != nil {
		w.check.wrong("%s cannot be set up: %v", j.nick, err)
	}
}

// A stream is a reader of random bytes.
type stream struct{ *dice }

func newStream(seed uint64, words ...string) io.Reader { return stream{roll(seed, words...)} }

func (s stream) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.next() & 0xff)
	}
	return len(b), nil
}

// user orders a batch, looks at it until it has ended, and stops what is to be
// stopped.
func (w *world) user(j *job) {
	w.sleep(j.nick+" comes", j.comes)
	order := fmt.Sprintf(`{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":%q,"metadata":{"nick":%q}}`,
		j.fileID, j.window.String(), j.nick)
	for {
		got := w.ask(j.nick, http.MethodPost, "/v1/batches", j.key, order, map[string]string{"Idempotency-Key": j.nick})
		var made struct {
			ID string `json:"id"`
		}
		if got.status == http.StatusOK && json.Unmarshal(got.body, &made) == nil {
			w.mu.Lock()
			j.ref = batch.Ref{Tenant: j.tenant, ID: made.ID}
			w.mu.Unlock()
			break
		}
		if got.status < 500 && got.status != http.StatusConflict && got.status != http.StatusTooManyRequests {
			w.check.wrong("%s is refused: %d %s", j.nick, got.status, got.body)
			return
		}
		w.sleep(j.nick+" tries again", w.pause(j.nick, 5*time.Second))
	}
	if j.cancels > 0 {
		w.spawn(func() { w.cancel(j) })
	}
	for _, s := range j.stops {
		w.spawn(func() { w.stopLine(j, s) })
	}
	w.spawn(func() { w.reader(j) })
	w.watch(j)
}

// watch looks at a batch again and again.
func (w *world) watch(j *job) {
	who := j.nick + " watch"
	after := 0
	for after < 2 {
		got := w.ask(who, http.MethodGet, "/v1/batches/"+j.ref.ID, j.key, "", nil)
		if got.status == http.StatusOK && w.check.shown(j, got.body) {
			after++
		}
		w.sleep(who, w.pause(who, min(10*time.Second+(w.sched.now()-j.comes)/20, 10*time.Minute)))
	}
}

// cancel cancels a batch, and insists.
func (w *world) cancel(j *job) {
	who := j.nick + " cancel"
	w.sleep(who, j.cancels)
	for {
		got := w.ask(who, http.MethodPost, "/v1/batches/"+j.ref.ID+"/cancel", j.key, "", nil)
		if got.status == http.StatusOK {
			w.hit(canceled)
		}
		if got.status < 500 {
			w.mu.Lock()
			j.canceled = got.status == http.StatusOK
			w.mu.Unlock()
			return
		}
		w.sleep(who, w.pause(who, 2*time.Second))
	}
}

// stopLine cancels one request, and insists.
func (w *world) stopLine(j *job, s stopping) {
	who := fmt.Sprintf("%s stop %d", j.nick, s.line)
	w.sleep(who, s.at)
	for {
		id := batch.RequestID(state.Key{Batch: j.ref.ID, Line: s.line})
		path := "/v1/batches/" + j.ref.ID + "/requests/" + id + "/cancel"
		got := w.ask(who, http.MethodPost, path, j.key, "", nil)
		if got.status == http.StatusOK {
			w.hit(lineCanceled)
			w.mu.Lock()
			j.lines[s.line-1].stopped = true
			w.mu.Unlock()
		}
		if got.status < 500 && (got.status != http.StatusNotFound || j.shadow.batch.Load.Validated) {
			return
		}
		w.sleep(who, w.pause(who, 2*time.Second))
	}
}

// reader reads the results as they come.
func (w *world) reader(j *job) {
	who := j.nick + " read"
	cursor := ""
	for {
		w.sleep(who, w.pause(who, min(20*time.Second+(w.sched.now()-j.comes)/10, 20*time.Minute)))
		path := "/v1/batches/" + j.ref.ID + "/results?limit=7&after=" + cursor
		for {
			got := w.ask(who, http.MethodGet, path, j.key, "", nil)
			if got.status != http.StatusOK {
				break
			}
			w.check.early(j, got.body)
			if got.header.Get("X-Complete") == "true" {
				w.mu.Lock()
				j.read = true
				w.mu.Unlock()
				return
			}
			next := got.header.Get("X-Next-Cursor")
			if next == cursor || len(got.body) == 0 {
				break
			}
			cursor = next
			path = "/v1/batches/" + j.ref.ID + "/results?limit=7&after=" + cursor
		}
	}
}

// pause is a random time around d.
func (w *world) pause(who string, d time.Duration) time.Duration {
	defer w.sched.passed("pause " + who)
	return w.sched.dice("pause "+who).between(d/2, d*3/2)
}

// sleep waits for d. A user does not come back from it once all is over.
func (w *world) sleep(what string, d time.Duration) {
	_ = w.sched.await(context.Background(), w.users, what, d)
	w.sched.passed(what)
}
