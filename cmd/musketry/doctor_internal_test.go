package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/cli"
	"github.com/musketry/musketry/internal/doctor"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

// A vault has parameters by their names; one named denied may not be read.
type vault map[string]string

func (v vault) GetParameter(
	_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options),
) (*ssm.GetParameterOutput, error) {
	value, ok := v[*in.Name]
	switch {
	case strings.HasSuffix(*in.Name, "denied"):
		return nil, &smithy.OperationError{ServiceID: "SSM", OperationName: "GetParameter", Err: &smithy.GenericAPIError{Code: "AccessDeniedException"}}
	case strings.HasSuffix(*in.Name, "broken"):
		return nil, &smithy.OperationError{ServiceID: "SSM", OperationName: "GetParameter", Err: errors.New("no network")}
	case !ok:
		return nil, &smithy.OperationError{ServiceID: "SSM", OperationName: "GetParameter", Err: &types.ParameterNotFound{}}
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: aws.String(value)}}, nil
}

// providerWith asks providers by the keys of a vault.
func providerWith(v vault) *providerOf {
	keys := boot.NewKeys(boot.Config{UpstreamKeyParameter: "/own", KeyPrefix: "/keys/"}, v, nil, time.Now)
	return &providerOf{keys: keys, own: "/own", client: upstream.New(upstream.Config{Key: keys.Key, Now: time.Now})}
}

// What is known of a key is whether it is there, is not, or may not be read.
func TestKeysOfRoutes(t *testing.T) {
	t.Parallel()
	p := providerWith(vault{"/keys/good": "sk-1"})
	for key, want := range map[string]error{
		"ssm:good": nil, "ssm:absent": doctor.ErrNoKey, "ssm:denied": doctor.ErrDenied, route.DefaultKey: doctor.ErrNoKey,
	} {
		if err := p.Key(t.Context(), route.Auth{Key: key}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", key, err, want)
		}
	}
	if err := p.Key(t.Context(), route.Auth{Key: "ssm:broken"}); err == nil || errors.Is(err, doctor.ErrNoKey) {
		t.Errorf("what cannot be read is said to be absent: %v", err)
	}
}

// A provider that echoes its key has it told to nobody.
func TestDoctorShowsNoKey(t *testing.T) {
	t.Parallel()
	const secret = "sk-very-secret"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/models" || r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("it was asked %s with %s", r.URL.Path, r.Header.Get("Authorization"))
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte("your key " + secret + " is wrong"))
	}))
	defer server.Close()
	r := route.Route{ID: "m#main", BaseURL: server.URL + "/v1", AllowPrivate: true, Auth: route.Auth{Kind: route.Bearer, Key: "ssm:good"}}
	status, err := providerWith(vault{"/keys/good": secret}).Models(t.Context(), r)
	if status != http.StatusUnauthorized || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	server.Close()
	if _, err := providerWith(vault{"/keys/good": secret}).Models(t.Context(), r); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("%v", err)
	}
	r.Auth = route.Auth{Kind: route.SigV4}
	if _, err := providerWith(nil).Models(t.Context(), r); !errors.Is(err, doctor.ErrElsewhere) {
		t.Errorf("a route that execute signs for: %v", err)
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	all := []doctor.Finding{
		{Check: "table", Status: doctor.OK, Message: "is there"},
		{Check: "providers", Subject: "m#\x1b[2Jmain", Status: doctor.Failure, Message: "is\nill", Remedy: "mend it", Shows: "it works"},
	}
	var text, lines bytes.Buffer
	person, program := &findings{out: &text}, &findings{out: &lines, json: true}
	for _, f := range all {
		person.add(f)
		program.add(f)
	}
	if err := person.end(); !errors.Is(err, cli.ErrUnhealthy) {
		t.Errorf("with a failure it ends with %v", err)
	}
	want := "ok       table: is there\nfailure  providers m# [2Jmain: is ill\n         do: mend it\n         it shows whether it works\n1 failures, 0 warnings\n"
	if text.String() != want {
		t.Errorf("%q, want %q", text.String(), want)
	}
	if got := lines.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `{"check":"table","status":"ok","message":"is there"}`) {
		t.Errorf("%s", got)
	}
	well := &findings{out: &text}
	well.add(all[0])
	well.add(doctor.Finding{Status: doctor.Warning})
	if err := well.end(); err != nil {
		t.Errorf("a warning is no failure: %v", err)
	}
}

func TestQueueARN(t *testing.T) {
	t.Parallel()
	arn, err := queueARN("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/Musketry-Queue", "arn:aws-cn:states:cn-north-1:123456789012:stateMachine:x")
	if arn != "arn:aws-cn:sqs:cn-north-1:123456789012:Musketry-Queue" || err != nil {
		t.Errorf("%s, %v", arn, err)
	}
	for _, bad := range []string{"", "http://x/only", "::"} {
		if arn, err := queueARN(bad, "arn:aws:states:eu-1:1:x"); err == nil {
			t.Errorf("%q is %s", bad, arn)
		}
	}
}

// What cannot be looked at as a whole is exit code 1, with what is missing.
func TestDoctorRefuses(t *testing.T) {
	t.Parallel()
	broken := func(context.Context, string) (*deployed, error) { return nil, errors.New("there is no stack") }
	whole := func(context.Context, string) (*deployed, error) {
		return &deployed{outputs: map[string]string{"ApiUrl": "https://api.example/v1/"}}, nil
	}
	for name, c := range map[string]struct {
		open func(context.Context, string) (*deployed, error)
		args []string
		want string
	}{
		"no stack":          {broken, nil, "there is no stack"},
		"a model for what":  {whole, []string{"--model", "m"}, "--smoke"},
		"a smoke, no key":   {whole, []string{"--smoke", "--model", "m"}, "no API key"},
		"arguments":         {whole, []string{"now"}, "now"},
		"no such parameter": {whole, []string{"--fix"}, "--fix"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, problems bytes.Buffer
			env := cli.Env{Stdout: &out, Stderr: &problems, Now: time.Now, HTTP: http.DefaultClient, NewID: func() string { return "1" }}
			check := &doctorCommand{env: env, open: c.open}
			code := cli.Run(t.Context(), env, append([]string{"doctor"}, c.args...), check.command(), &cobra.Command{Use: "keys"})
			if code != cli.ExitError || !strings.Contains(problems.String(), c.want) || out.Len() > 0 {
				t.Errorf("%d: %s%s, want %q", code, &out, &problems, c.want)
			}
		})
	}
}
