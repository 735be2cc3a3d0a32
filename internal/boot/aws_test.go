package boot_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/musketry/musketry/internal/boot"
)

// TestDeadConnectionsToAWS has a service begin its answers and fall silent.
func TestDeadConnectionsToAWS(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_ENDPOINT_URL", "http://aws.test")
	synctest.Test(t, func(t *testing.T) {
		cfg, err := boot.AWS(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		client, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
		if !ok {
			t.Fatalf("the client is a %T", cfg.HTTPClient)
		}
		dials := 0
		cfg.HTTPClient = client.WithTransportOptions(func(tr *http.Transport) {
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
				dials++
				ours, theirs := net.Pipe()
				go stall(theirs)
				return ours, nil
			}
		})
		start := time.Now()
		_, err = ssm.NewFromConfig(cfg).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("p")})
		if took := time.Since(start); err == nil || took > 70*time.Second || dials != 5 {
			t.Errorf("%v after %v on %d connections", err, took, dials)
		}
	})
}

// A lastLook is a client that keeps the last request's body, as net/http does for a look at it after the answer's head.
type lastLook struct {
	body io.ReadCloser
}

func (l *lastLook) Do(r *http.Request) (*http.Response, error) {
	l.body = r.Body
	_, err := io.CopyN(io.Discard, r.Body, r.ContentLength)
	head := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
	return &http.Response{StatusCode: http.StatusOK, Header: head, Body: io.NopCloser(strings.NewReader("{}"))}, err
}

// TestLastLookAtABody demands of a body that the SDK has closed what net/http demands of it: any error but the end closes
// the connection, with an answer that is not read yet.
func TestLastLookAtABody(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_ENDPOINT_URL", "http://aws.test")
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	look := &lastLook{}
	cfg.HTTPClient = look
	name := aws.String("name")
	for service, call := range map[string]func() error{
		"ssm": func() error {
			_, err := ssm.NewFromConfig(cfg).GetParameter(t.Context(), &ssm.GetParameterInput{Name: name})
			return err
		},
		"sqs": func() error {
			_, err := sqs.NewFromConfig(cfg).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: name})
			return err
		},
		"s3": func() error {
			_, err := s3.NewFromConfig(cfg).PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: name, Key: name, Body: strings.NewReader("text"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
			})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", service, err)
		} else if n, err := io.Copy(io.Discard, look.body); n > 0 || err != nil {
			t.Errorf("%s: behind its end the body has %d bytes and %v", service, n, err)
		}
	}
}

// stall answers one request's head, and then nothing until conn is closed.
func stall(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
	_, _ = io.Copy(io.Discard, conn)
}
