package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultListen = "127.0.0.1:8080"
	// proxyHeaderTimeout bounds how long a client takes for its headers.
	proxyHeaderTimeout = 30 * time.Second
	// proxyIdle is how long a connection is kept on which nothing is asked.
	proxyIdle = 2 * time.Minute
	// proxyEnd bounds how long the proxy waits for what is under way when it ends.
	proxyEnd = 30 * time.Second
)

// proxyFlags are what proxy is told.
type proxyFlags struct {
	listen string
	remote bool
	names  []string
	key    bool
}

func (a *app) proxyCommand() *cobra.Command {
	var f proxyFlags
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Let any OpenAI client upload files of any size, through a local address",
		Long: `Listen at a local address that any OpenAI client can have as its base URL. A file of
more than 4 MB that it uploads in one request, which the server would refuse, is sent
in parts; everything else is passed on as it is, both ways and as it comes.

A client's own key is passed on. A request without one gets $OPENAI_API_KEY, or
that of --key-file; with --own-key every request does, whatever the client sends.

A file that is sent in parts first goes to a temporary file. The client has its
answer when the server has all of it: a client that is to send gigabytes needs a
longer timeout.

Only programs on this machine reach the proxy, and no page in a browser does.
--allow-remote lets others in; whoever reaches it then may use its key. They reach it
by its IP address, or by a name that --host says: any other name could be a page's.
On a machine that you share, start it without a key.`,
		Example: `  musketry proxy
  OPENAI_BASE_URL=http://127.0.0.1:8080/v1 python submit.py
  musketry proxy --listen 127.0.0.1:0 --own-key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.proxy(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", defaultListen, "address and port to listen at; port 0 is any that is free")
	flags.BoolVar(&f.remote, "allow-remote", false, "let --listen be an address that other machines reach")
	flags.StringArrayVar(&f.names, "host", nil, "a `name` by which others reach it, with --allow-remote; may be given more than once")
	flags.BoolVar(&f.key, "own-key", false, "send this command's key with every request, whatever the client sends")
	return cmd
}

// A listening is what --json says of the proxy.
type listening struct {
	Object  string `json:"object"`
	BaseURL string `json:"base_url"`
}

func (a *app) proxy(ctx context.Context, f proxyFlags) error {
	base, err := address(a.baseURL)
	if err != nil {
		return err
	}
	key, err := a.key()
	if err != nil && (f.key || a.keyFile != "") {
		return err
	}
	if err := checkListen(f); err != nil {
		return err
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	p := &proxy{app: a, target: base, key: key, always: f.key, remote: f.remote, names: f.names, sending: make(chan struct{}, proxyUploads)}
	srv := &http.Server{
		Handler: p.handler(), ReadHeaderTimeout: proxyHeaderTimeout, IdleTimeout: proxyIdle,
		// What a library has to say of a connection may quote a header.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	local := "http://" + l.Addr().String() + "/v1"
	if a.json {
		err = writeJSON(a.env.Stdout, listening{Object: "proxy", BaseURL: local})
	} else {
		err = write(a.env.Stdout, local+"\n")
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	a.noteProxy(p, local)
	return a.serve(ctx, srv, l)
}

func (a *app) noteProxy(p *proxy, local string) {
	a.note("Passing on to %s. Have your client use it: export OPENAI_BASE_URL=%s", p.target.Redacted(), local)
	switch {
	case p.always:
		a.note("Every request gets this command's key.")
	case p.key != "":
		a.note("A request without a key gets this command's.")
	default:
		a.note("Every request needs a key of its own: OPENAI_API_KEY and --key-file name none.")
	}
	if p.remote {
		a.note("--allow-remote: whoever reaches this address may use it, and the key.")
	} else {
		a.note("Only this machine reaches it, with all its users. Ctrl-C ends it.")
	}
}

// serve serves until ctx is done, and then ends what is under way.
func (a *app) serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("listening: %w", err)
	case <-ctx.Done():
	}
	a.note("Ending: what is under way has %s. Ctrl-C again ends it at once.", span(proxyEnd))
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), proxyEnd)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return errors.Join(errors.New("what was under way was broken off"), srv.Close())
	}
	return nil
}

// checkListen refuses an address that others reach, unless that is wanted.
func checkListen(f proxyFlags) error {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %.64q is no address and port; write it like %s", f.listen, defaultListen)
	}
	if !f.remote && !loopback(host) {
		return fmt.Errorf("--listen: other machines may reach %.64q; listen at 127.0.0.1, or say --allow-remote", host)
	}
	if len(f.names) > 0 && !f.remote {
		return errors.New("--host names the proxy for other machines: say --allow-remote too")
	}
	return nil
}

// answersTo reports whether a request may name host. A page in a browser reaches
// the proxy by a name alone, which it can have lead anywhere.
func (p *proxy) answersTo(host string) bool {
	if loopback(host) {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	named := func(name string) bool { return strings.EqualFold(name, host) }
	return p.remote && (err == nil || slices.ContainsFunc(p.names, named))
}

// loopback reports whether a host is this machine, as only it itself sees it.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// A proxy passes requests on to a server.
type proxy struct {
	app    *app
	target *url.URL // ends in /v1
	key    string   // empty: none
	always bool     // the key is sent whatever the client sends
	remote bool     // others may reach it, by its address
	names  []string // or by these

	sending chan struct{} // has room for those that hold a file in memory
}

func (p *proxy) handler() http.Handler {
	pass := &httputil.ReverseProxy{
		Transport:     p.transport(),
		FlushInterval: -1, // as it comes
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = p.url(r.In.URL)
			r.Out.Host = ""
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				refuse(w, http.StatusBadGateway, "", "proxy_error", "The proxy cannot reach the server: "+firstLine(explain(err)))
			}
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.admit(w, r) {
			return
		}
		if r.Method == http.MethodPost && createsFile(r.URL.Path) {
			p.createFile(w, r, pass)
			return
		}
		// An answer may begin while the request is still being sent; a connection that cannot has it wait.
		_ = http.NewResponseController(w).EnableFullDuplex()
		pass.ServeHTTP(w, r)
	})
}

// transport returns the command's own, which asks for no compression by itself:
// the client gets the bytes that the server sent.
func (p *proxy) transport() http.RoundTripper {
	own := p.app.env.HTTP.Transport
	if own == nil {
		own = http.DefaultTransport
	}
	if known, ok := own.(*http.Transport); ok {
		known = known.Clone()
		known.DisableCompression = true
		return known
	}
	return own
}

// url returns where a request goes: below the base URL, with its /v1 or, as
// Azure's clients ask, without.
func (p *proxy) url(in *url.URL) *url.URL {
	out := *p.target
	root, ends := strings.CutSuffix(strings.TrimSuffix(p.target.EscapedPath(), "/"), "/v1")
	path := in.EscapedPath()
	if !ends { // another server's: its base URL stands for /v1
		path = strings.TrimPrefix(path, "/v1")
	}
	out.RawPath = root + path
	out.Path, _ = url.PathUnescape(out.RawPath) // both are escaped as they came
	out.RawQuery, out.ForceQuery, out.User = in.RawQuery, in.ForceQuery, p.target.User
	return &out
}

// admit sees to a request's key, and refuses a request that comes from a page in a
// browser: that would send what the page's author likes, with the user's key.
func (p *proxy) admit(w http.ResponseWriter, r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !p.answersTo(host) {
		refuse(w, http.StatusForbidden, "", "proxy_host", "The proxy answers requests to localhost, 127.0.0.1 and [::1] alone. "+
			"Start it with --allow-remote to have it answer to other addresses, and with --host to a name.")
		return false
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		refuse(w, http.StatusForbidden, "", "proxy_browser", "The proxy answers no page in a browser, since any page could ask it.")
		return false
	}
	if p.key != "" && (p.always || r.Header.Get("Authorization") == "" && r.Header.Get("Api-Key") == "") {
		r.Header.Del("Api-Key")
		r.Header.Set("Authorization", "Bearer "+p.key)
	}
	return true
}

// createsFile reports whether a POST to a path uploads a file, as OpenAI's or
// Azure's clients do it.
func createsFile(path string) bool {
	switch strings.TrimSuffix(path, "/") {
	case "/v1/files", "/files", "/openai/files", "/openai/v1/files":
		return true
	}
	return false
}

// refuse answers with an error of OpenAI's shape.
func refuse(w http.ResponseWriter, status int, param, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	said := struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}{Message: message, Type: "invalid_request_error", Code: code}
	if param != "" {
		said.Param = &param
	}
	if status >= http.StatusInternalServerError {
		said.Type = "server_error"
	}
	_ = writeJSON(w, map[string]any{"error": said}) // the client may be gone
}
