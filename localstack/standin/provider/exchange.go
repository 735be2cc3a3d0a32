package provider

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// slowPieces is how many pieces a slow body comes in.
const slowPieces = 10

// An exchange is one call being answered.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	now  func() time.Time
	call *call
	id   digest
	plan plan
}

// run answers the call, or does to it what is planned for it.
func (x *exchange) run(answer reply, streamed bool) {
	x.wait(x.plan.wait(x.id))
	s := x.plan.at(x.call.number)
	switch s.effect {
	case effectStatus:
		x.refuse(s.status)
	case effectQuota:
		x.fail(http.StatusTooManyRequests, "You exceeded your current quota, please check your plan and billing details.",
			"", "insufficient_quota")
	case effectErrorInBody:
		x.failInBody(streamed && answer.events != nil)
	case effectText:
		x.send("text/plain; charset=utf-8", whole("The stand-in answers in plain words, and no JSON.\n"))
	case effectReset:
		x.reset(answer)
	case effectHang:
		<-x.r.Context().Done()
		x.gone()
	case effectOdd:
		x.beOdd(s.odd, answer, streamed)
	case effectNone:
		x.succeed(answer, streamed)
	}
}

// succeed sends the answer, as a stream if it is wanted and there is one.
func (x *exchange) succeed(answer reply, streamed bool) {
	raw, err := answer.bytes(x.plan.size)
	if err != nil {
		x.fail(http.StatusInternalServerError, "The answer could not be written.", "", "")
		return
	}
	if !streamed || answer.events == nil {
		x.send("application/json", whole(string(raw)))
		return
	}
	events, err := answer.events()
	if err != nil {
		x.fail(http.StatusInternalServerError, "The stream could not be written.", "", "")
		return
	}
	x.send("text/event-stream", pieces{parts: events, apart: true})
}

// refuse answers with a status, and with a Retry-After if one is planned. A redirect leads back to where it came from,
// so that a client which follows it is counted again.
func (x *exchange) refuse(status int) {
	notBefore := x.tellRetryAfter()
	if status < http.StatusBadRequest {
		x.w.Header().Set("Location", x.r.URL.Path+"?redirected=1")
	}
	code := ""
	switch status {
	case http.StatusUnauthorized:
		code = "invalid_api_key"
	case http.StatusNotFound:
		code = "model_not_found"
	case http.StatusTooManyRequests:
		code = "rate_limit_exceeded"
	}
	message := fmt.Sprintf("The stand-in answers %d, as the model's name says.", status)
	x.failUntil(status, failure(status, message, "", code), notBefore)
}

// tellRetryAfter sets the planned header and returns until when the client should stay away.
func (x *exchange) tellRetryAfter() time.Time {
	header, wait := x.w.Header(), x.plan.retryAfter
	until := x.now().Add(wait)
	switch x.plan.retryForm {
	case waitSeconds:
		header.Set("Retry-After", strconv.FormatFloat(wait.Seconds(), 'f', -1, 64))
	case waitMillis:
		header.Set("Retry-After-Ms", strconv.FormatFloat(float64(wait)/float64(time.Millisecond), 'f', -1, 64))
	case waitDate:
		if second := until.Truncate(time.Second); second.Before(until) {
			until = second.Add(time.Second)
		}
		header.Set("Retry-After", until.UTC().Format(http.TimeFormat))
	case waitNone:
		return time.Time{}
	}
	return until
}

// fail answers with an error in OpenAI's shape.
func (x *exchange) fail(status int, message, param, code string) {
	x.failUntil(status, failure(status, message, param, code), time.Time{})
}

func (x *exchange) failUntil(status int, body errorBody, notBefore time.Time) {
	x.call.end(status, notBefore)
	writeJSON(x.w, status, body)
}

// failInBody answers 200 with an error.
func (x *exchange) failInBody(streamed bool) {
	body := failure(http.StatusInternalServerError, "The stand-in failed, as the model's name says.", "", "server_error")
	if !streamed {
		x.failUntil(http.StatusOK, body, time.Time{})
		return
	}
	name, data := "", any(body)
	if strings.HasSuffix(x.r.URL.Path, "/responses") {
		name, data = "error", responseEvent{Type: "error", Code: "server_error", Message: body.Error.Message}
	}
	text, err := event(name, data)
	if err != nil {
		x.fail(http.StatusInternalServerError, "The stream could not be written.", "", "")
		return
	}
	x.send("text/event-stream", whole(text))
}

// reset sends half of the answer and then resets the connection.
func (x *exchange) reset(answer reply) {
	raw, err := json.Marshal(answer.body)
	if err != nil {
		raw = []byte("{}")
	}
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.call.end(statusReset, time.Time{})
		panic(http.ErrAbortHandler) // HTTP/2: net/http resets the stream.
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(raw), raw[:len(raw)/2])
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // Unsent data is dropped and the close becomes a RST.
	}
	x.call.end(statusReset, time.Time{})
	_ = conn.Close()
}

// pieces are the parts of a body.
type pieces struct {
	parts []string
	apart bool // Each part leaves by itself, even if the body is not slow.
}

func whole(body string) pieces { return pieces{parts: []string{body}} }

// cut returns the body in slowPieces pieces.
func (p pieces) cut() pieces {
	if p.apart || len(p.parts) != 1 || len(p.parts[0]) < slowPieces {
		return p
	}
	body := p.parts[0]
	cut := pieces{apart: true}
	for i := range slowPieces {
		cut.parts = append(cut.parts, body[len(body)*i/slowPieces:len(body)*(i+1)/slowPieces])
	}
	return cut
}

// send sends a 200 with a body, slowly if that is planned. The call ends, for the counts, right before the last part leaves.
func (x *exchange) send(contentType string, body pieces) {
	x.w.Header().Set("Content-Type", contentType)
	if !body.apart {
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body.parts[0])))
	}
	var pause time.Duration
	if x.plan.slow > 0 {
		body = body.cut()
		pause = x.plan.slow / time.Duration(len(body.parts))
	}
	x.w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(x.w)
	for i, part := range body.parts {
		x.wait(pause)
		if i == len(body.parts)-1 {
			x.call.end(http.StatusOK, time.Time{})
		}
		if _, err := x.w.Write([]byte(part)); err != nil {
			x.gone()
		}
		if body.apart {
			_ = control.Flush() // The next write tells of a client that has gone.
		}
	}
}

// wait lets time pass, or ends the call when its client goes away.
func (x *exchange) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.r.Context().Done():
		x.gone()
	}
}

// gone ends a call whose client went away, and its connection with it.
func (x *exchange) gone() {
	x.call.end(statusGone, time.Time{})
	panic(http.ErrAbortHandler)
}
