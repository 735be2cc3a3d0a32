package provider

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	defaultMaxKeys = 1_000_000
	maxBody        = 32 << 20 // Bytes.
	maxFound       = 10_000
	defaultFound   = 100

	customIDHeader = "X-Custom-Id"
)

// A Config is what a Provider needs to know.
type Config struct {
	// Now is the clock. There is no default.
	Now func() time.Time

	// Limits are those that models have at first, by their whole name or what is before its first colon.
	Limits map[string]Limit

	// SigV4 is whose signature every call must have. Nil: calls need none.
	SigV4 *Signer

	// MaxKeys is how many requests are remembered: 1,000,000 by default, which take some 300 MB.
	MaxKeys int
}

// A Provider is the handler. Over HTTP/2 a reset ends the stream, not the connection.
type Provider struct {
	mux    *http.ServeMux
	ledger *ledger
	limits *limits
	signer *Signer
	now    func() time.Time
}

var _ http.Handler = (*Provider)(nil)

// New returns a stand-in that nobody has called yet, or an error if cfg lacks a clock or has a negative bound.
func New(cfg Config) (*Provider, error) {
	if cfg.Now == nil {
		return nil, errors.New("a stand-in needs a clock")
	}
	if cfg.MaxKeys < 0 {
		return nil, errors.New("max keys: must not be negative")
	}
	cfg.MaxKeys = cmp.Or(cfg.MaxKeys, defaultMaxKeys)
	p := &Provider{mux: http.NewServeMux(), ledger: newLedger(cfg.Now, cfg.MaxKeys), limits: &limits{now: cfg.Now}, signer: cfg.SigV4, now: cfg.Now}
	if err := p.SetLimits(cfg.Limits); err != nil {
		return nil, err
	}
	for path, c := range map[string]compose{
		"/v1/chat/completions": composeChat, "/v1/completions": composeText, "/v1/responses": composeResponse,
		"/v1/embeddings": composeEmbeddings, "/v1/moderations": composeModeration,
	} {
		p.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, c) })
	}
	p.mux.HandleFunc("GET /v1/models", p.serveModels)
	p.mux.HandleFunc("GET /standin/stats", p.serveStats)
	p.mux.HandleFunc("GET /standin/calls", p.serveCalls)
	p.mux.HandleFunc("GET /standin/limits", p.serveLimits)
	p.mux.HandleFunc("PUT /standin/limits", p.serveLimits)
	p.mux.HandleFunc("POST /standin/reset", func(w http.ResponseWriter, _ *http.Request) {
		p.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, failure(http.StatusNotFound, "Unknown request URL: "+r.Method+" "+r.URL.Path, "", "unknown_url"))
	})
	return p, nil
}

// ServeHTTP serves the routes that the package's documentation lists.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Stats returns what has been counted and, if key is not empty, the request by that Idempotency-Key or custom id.
func (p *Provider) Stats(key string) Stats {
	s := p.ledger.stats(key)
	s.Limits = p.limits.stats()
	return s
}

// SetLimits replaces all models' limits, and forgets what their windows have. Calls in flight are in flight of none.
func (p *Provider) SetLimits(all map[string]Limit) error { return p.limits.set(all) }

// Calls returns the requests whose marker contains a text, at most limit of them.
func (p *Provider) Calls(contains string, limit int) Calls { return p.ledger.search(contains, limit) }

// Reset forgets everything but the calls in flight.
func (p *Provider) Reset() {
	p.ledger.reset()
	p.limits.reset()
}

func (p *Provider) serveStats(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, p.Stats(r.URL.Query().Get("key")))
}

func (p *Provider) serveCalls(w http.ResponseWriter, r *http.Request) {
	limit := defaultFound
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 || limit > maxFound {
			writeJSON(w, http.StatusBadRequest, failure(http.StatusBadRequest, "limit must be from 0 to "+strconv.Itoa(maxFound)+".", "limit", "invalid_value"))
			return
		}
	}
	writeJSON(w, http.StatusOK, p.Calls(r.URL.Query().Get("contains"), limit))
}

func (p *Provider) serveModels(w http.ResponseWriter, _ *http.Request) {
	list := modelList{Object: "list"}
	for _, id := range []string{baseName, baseName + ":latency=1s", baseName + ":status=429x2+retry-after=1"} {
		list.Data = append(list.Data, modelItem{ID: id, Object: "model", OwnedBy: baseName})
	}
	writeJSON(w, http.StatusOK, list)
}

// serve answers one call to an endpoint, as the model's name tells.
func (p *Provider) serve(w http.ResponseWriter, r *http.Request, c compose) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeJSON(w, http.StatusRequestEntityTooLarge, failure(http.StatusRequestEntityTooLarge, "The body could not be read, or is too large.", "", ""))
		return
	}
	var body request
	parseErr := json.Unmarshal(raw, &body)
	arrived := arrivalOf(r, body, raw)
	x := &exchange{w: w, r: r, now: p.now, call: p.ledger.begin(arrived), id: arrived.id}
	defer x.call.end(statusGone, time.Time{}) // Where nothing else has ended it.
	w.Header().Set("X-Request-Id", "req_"+arrived.id.String()+"_"+strconv.Itoa(x.call.number))
	if p.signer != nil {
		if err := p.signer.Check(r, raw, p.now()); err != nil {
			x.fail(http.StatusForbidden, "The call was refused: "+err.Error()+".", "", "access_denied")
			return
		}
	}
	if parseErr != nil {
		x.fail(http.StatusBadRequest, "We could not parse the JSON body of your request.", "", "")
		return
	}
	if body.Model == "" {
		x.fail(http.StatusBadRequest, "you must provide a model parameter", "model", "")
		return
	}
	if x.plan, err = parsePlan(body.Model); err != nil {
		x.fail(http.StatusBadRequest, err.Error(), "model", "unknown_directive")
		return
	}
	admitted := p.limits.admit(body.Model, body.charge())
	if admitted.refuse {
		x.refuseOver(admitted.retry)
		return
	}
	x.call.leave = admitted.leave
	if admitted.limit.Hang {
		x.plan = plan{steps: []step{{effect: effectHang}}}
	}
	answer, err := c(body, arrived.id.String(), p.now().Unix())
	if input, ok := errors.AsType[*inputError](err); ok {
		x.fail(http.StatusBadRequest, input.message, input.param, input.code)
		return
	}
	x.run(answer, body.Stream)
}

// arrivalOf says who calls: by the Idempotency-Key or, lacking that, by path and body.
func arrivalOf(r *http.Request, body request, raw []byte) arrival {
	a := arrival{
		key: r.Header.Get("Idempotency-Key"), customID: r.Header.Get(customIDHeader), marker: body.User, model: body.Model,
		authorized: r.Header.Get("Authorization") != "",
	}
	if a.key != "" {
		a.id = digestOf("key", a.key)
		return a
	}
	a.id = digestOf("body", r.URL.Path, string(raw))
	a.key = "body:" + a.id.String()
	return a
}

// failure returns OpenAI's error envelope; an empty param or code is null.
func failure(status int, message, param, code string) errorBody {
	detail := errorDetail{Message: message, Type: "invalid_request_error"}
	if status >= http.StatusInternalServerError {
		detail.Type = "server_error"
	}
	if status == http.StatusTooManyRequests {
		detail.Type = "requests"
	}
	if param != "" {
		detail.Param = &param
	}
	if code != "" {
		detail.Code = &code
	}
	return errorBody{Error: detail}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // A client that has gone is no concern of ours.
}
