package boot_test

import (
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/musketry/musketry/internal/boot"
)

func TestAuthorities(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for name, text := range map[string]string{
		"PEM": string(bundle), "base64": base64.StdEncoding.EncodeToString(bundle), "two": string(bundle) + "\n" + string(bundle),
	} {
		pool, err := boot.Authorities(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		transport := srv.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.RootCAs = pool
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = res.Body.Close()
	}
	for _, text := range []string{"", "no base64!", "aGVsbG8=", "-----BEGIN CERTIFICATE-----\nx"} {
		if _, err := boot.Authorities(text); err == nil {
			t.Errorf("%q passes as certificates", text)
		}
	}
}
