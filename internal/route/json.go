package route

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Parse reads a model as an operator writes it: one JSON object, in which every
// field is known. The error wraps ErrInvalid if the model is not valid.
func Parse(data []byte) (Model, error) {
	if len(data) > MaxBytes {
		return Model{}, fmt.Errorf("%w: it has %d bytes: write at most %d", ErrInvalid, len(data), MaxBytes)
	}
	var m Model
	if err := json.Unmarshal(data, &m); err != nil {
		if errors.Is(err, ErrInvalid) {
			return Model{}, err
		}
		return Model{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m, m.Validate()
}

// The forms of a model on the wire: durations are text.
type (
	modelForm struct {
		Pattern    string          `json:"pattern"`
		Routes     []routeForm     `json:"routes"`
		Retryable  []string        `json:"retryable_statuses,omitempty"`
		SpentQuota string          `json:"spent_quota,omitempty"`
		Escalation *escalationForm `json:"escalation,omitempty"`
	}
	escalationForm struct {
		Model  string   `json:"model"`
		Before duration `json:"before"`
	}
	routeForm struct {
		Name           string            `json:"name"`
		BaseURL        string            `json:"base_url"`
		Auth           authForm          `json:"auth"`
		Headers        map[string]string `json:"headers,omitempty"`
		Model          string            `json:"model,omitempty"`
		Weight         int               `json:"weight,omitempty"`
		AllowPrivate   bool              `json:"allow_private,omitempty"`
		MaxConcurrency int               `json:"max_concurrency,omitempty"`
		RPM            int               `json:"rpm,omitempty"`
		TPM            int               `json:"tpm,omitempty"`
		Connect        duration          `json:"connect,omitempty"`
		FirstByte      duration          `json:"first_byte,omitempty"`
		Total          duration          `json:"total,omitempty"`
		AnswerLimit    int64             `json:"answer_limit,omitempty"`
	}
	authForm struct {
		Kind    string `json:"kind"`
		Header  string `json:"header,omitempty"`
		Key     string `json:"key,omitempty"`
		Service string `json:"service,omitempty"`
		Region  string `json:"region,omitempty"`
	}
)

// MarshalJSON returns m as an operator writes it, without its revision.
func (m Model) MarshalJSON() ([]byte, error) {
	form := modelForm{
		Pattern: m.Pattern, Retryable: m.Retryable, SpentQuota: m.SpentQuota, Routes: make([]routeForm, 0, len(m.Routes)),
	}
	if m.Escalation != nil {
		form.Escalation = &escalationForm{Model: m.Escalation.Model, Before: duration(m.Escalation.Before)}
	}
	for _, r := range m.Routes {
		form.Routes = append(form.Routes, routeForm{
			Name: r.Name, BaseURL: r.BaseURL, Auth: authForm(r.Auth), Headers: r.Headers, Model: r.Model, Weight: r.Weight,
			AllowPrivate: r.AllowPrivate, MaxConcurrency: r.MaxConcurrency, RPM: r.RPM, TPM: r.TPM,
			Connect: duration(r.Connect), FirstByte: duration(r.FirstByte), Total: duration(r.Total), AnswerLimit: r.AnswerLimit,
		})
	}
	return json.Marshal(form)
}

// UnmarshalJSON reads what MarshalJSON wrote. It refuses fields that it does not
// know, and does not validate. The revision stays.
func (m *Model) UnmarshalJSON(data []byte) error {
	var form modelForm
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&form); err != nil {
		return mended(err)
	}
	read := Model{Pattern: form.Pattern, Retryable: form.Retryable, SpentQuota: form.SpentQuota, Revision: m.Revision}
	if form.Escalation != nil {
		read.Escalation = &Escalation{Model: form.Escalation.Model, Before: time.Duration(form.Escalation.Before)}
	}
	for _, r := range form.Routes {
		read.Routes = append(read.Routes, Route{
			Name: r.Name, BaseURL: r.BaseURL, Auth: Auth(r.Auth), Headers: r.Headers, Model: r.Model, Weight: r.Weight,
			AllowPrivate: r.AllowPrivate, MaxConcurrency: r.MaxConcurrency, RPM: r.RPM, TPM: r.TPM,
			Connect: time.Duration(r.Connect), FirstByte: time.Duration(r.FirstByte), Total: time.Duration(r.Total),
			AnswerLimit: r.AnswerLimit,
		})
	}
	*m = read
	return nil
}

// mended returns a decoder's error in words for who wrote the JSON.
func mended(err error) error {
	if errors.Is(err, ErrInvalid) {
		return err
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%w: %s is a JSON %s: docs/configuration.md says what to write",
			ErrInvalid, cmp.Or(wrong.Field, "the whole"), wrong.Value)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("%w: the field %.80s is unknown: leave it out, or see docs/configuration.md for what there is",
			ErrInvalid, field)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the JSON ends too early", ErrInvalid)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// A duration is text in JSON, such as 90s or 1h30m.
type duration time.Duration

// MarshalText returns d as time.ParseDuration reads it.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads d.
func (d *duration) UnmarshalText(text []byte) error {
	read, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%w: %.40q is no duration: write one such as 90s, 15m or 1h30m", ErrInvalid, text)
	}
	*d = duration(read)
	return nil
}
