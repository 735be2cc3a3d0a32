package boot_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
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

// stall answers one request's head, and then nothing until conn is closed.
func stall(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	time.Sleep(time.Millisecond) // as the way to AWS takes: the SDK must be done with the body
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
	_, _ = io.Copy(io.Discard, conn)
}
