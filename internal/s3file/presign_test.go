package s3file_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/s3file"
)

func TestPresign(t *testing.T) {
	t.Parallel()
	cfg := aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String("http://127.0.0.1:4566"),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}
	p := s3file.NewPresigner(s3file.NewClient(cfg), "bucket")
	address, err := p.Presign(t.Context(), "tenants/alice/files/file-1", batch.Download{Name: `out "1".jsonl`, Type: "application/jsonl"}, 15*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"path": u.Host + u.Path, "life": u.Query().Get("X-Amz-Expires"),
		"name": u.Query().Get("response-content-disposition"), "headers": u.Query().Get("X-Amz-SignedHeaders"),
		"type": u.Query().Get("response-content-type"), "cache": u.Query().Get("response-cache-control"),
	}
	want := map[string]string{
		"path": "127.0.0.1:4566/bucket/tenants/alice/files/file-1", "life": "900",
		"name": `attachment; filename="out \"1\".jsonl"`, "headers": "host",
		"type": "application/jsonl", "cache": "no-store",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(u.Query().Get("X-Amz-Credential"), "AKIDEXAMPLE/") || len(u.Query().Get("X-Amz-Signature")) != 64 {
		t.Errorf("the address is not signed: %s", address)
	}
}
