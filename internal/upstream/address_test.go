package upstream_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"104.18.6.192": true, "1.1.1.1": true, "2606:4700::6812:6c0": true, "2a00:1450:4001:82b::200e": true,
		"::ffff:104.18.6.192": true, "64:ff9b::6812:6c0": true, "172.15.255.255": true, "100.128.0.0": true,
		// private and shared
		"10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "100.64.0.1": false,
		"fd12:3456::1": false, "fc00::1": false, "fec0::1": false,
		// this host and this network
		"127.0.0.1": false, "127.1.2.3": false, "::1": false, "0.0.0.0": false, "0.1.2.3": false, "::": false,
		"169.254.1.1": false, "fe80::1": false, "fe80::1%eth0": false, "::1%lo": false,
		// metadata
		"169.254.169.254": false, "169.254.170.2": false, "fd00:ec2::254": false, "100.100.100.200": false,
		"168.63.129.16": false, "192.0.0.192": false,
		// nobody's
		"224.0.0.1": false, "239.1.1.1": false, "255.255.255.255": false, "240.0.0.1": false, "ff02::1": false, "ff0e::1": false,
		"192.0.2.1": false, "198.51.100.7": false, "203.0.113.9": false, "198.18.0.1": false, "2001:db8::1": false,
		"3fff::1": false, "4000::1": false, "100::1": false,
		// IPv4 within IPv6
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false,
		"::10.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::a00:1": false,
		"64:ff9b:1::7f00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::": false, "2002:a9fe:a9fe::1": false,
		"2001:0:7f00:1::": false,
	} {
		if got := upstream.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is public: %v, want %v", text, got, want)
		}
	}
}

// TestPrivateRoutes demands that a route leads to this host only where it says so, however it names it.
func TestPrivateRoutes(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	srv := httptest.NewUnstartedServer(answering(200, "application/json", `{}`))
	srv.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { connections.Add(1); return ctx }
	srv.Start()
	t.Cleanup(srv.Close)
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := upstream.New(upstream.Config{})
	t.Cleanup(c.CloseIdleConnections)
	// What was dialed for a route that allows it serves no other.
	if _, err := c.Call(t.Context(), to(srv.URL, true)); err != nil {
		t.Errorf("an address that is allowed: %v", err)
	}
	before := connections.Load()
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "[::1]"} {
		for _, scheme := range []string{"http", "https"} {
			_, err := c.Call(t.Context(), to(scheme+"://"+host+":"+at.Port(), false))
			refused := asErr[*upstream.AddressError](t, err)
			if inner := regexp.MustCompile(`local|[0-9]|::`).FindString(err.Error()); inner != "" {
				t.Errorf("%q tells a tenant %q", err, inner)
			}
			if refused.Detail == "" {
				t.Errorf("%s: whoever runs this is told nothing", host)
			}
		}
	}
	if got := connections.Load() - before; got > 0 {
		t.Errorf("%d connections were made", got)
	}
}

// TestAddressesAreCheckedTwice has a name that leads elsewhere when it is dialed than when it was looked up, and one with two
// addresses.
func TestAddressesAreCheckedTwice(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
	t.Cleanup(srv.Close)
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	public, private := netip.MustParseAddr("104.18.6.192"), netip.MustParseAddr("10.0.0.1")
	for name, tc := range map[string]struct {
		found  []netip.Addr
		detail string
	}{
		"another one at the dial": {[]netip.Addr{public}, `^a dial to (127\.0\.0\.1|\[::1\]):`},
		"one of two":              {[]netip.Addr{public, private}, `^localhost is at 10\.0\.0\.1$`},
	} {
		c := upstream.NewResolving(func(context.Context, string, string) ([]netip.Addr, error) { return tc.found, nil })
		_, err := c.Call(t.Context(), to("http://localhost:"+at.Port(), false))
		if refused := asErr[*upstream.AddressError](t, err); !regexp.MustCompile(tc.detail).MatchString(refused.Detail) {
			t.Errorf("%s: %q", name, refused.Detail)
		}
	}
}

// to returns a call below a base URL.
func to(base string, private bool) upstream.Request {
	r := chat(`{}`)
	r.Route = route.Route{BaseURL: base, AllowPrivate: private, Total: 20 * time.Second}
	return r
}
