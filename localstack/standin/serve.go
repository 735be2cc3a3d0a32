package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/musketry/musketry/localstack/standin/provider"
)

// maxStreams is how many calls one connection of HTTP/2 carries at once, as many servers have it.
const maxStreams = 128

// options are the program's flags.
type options struct {
	listen, ready       string // of HTTP
	tlsListen, tlsReady string // of HTTPS; empty: none
	ca                  string // file that the authority's certificate is written to
	limits              string // file with limits as PUT /standin/limits takes them; empty: none
}

// run serves until ctx ends, and returns when all connections are closed.
func run(ctx context.Context, o options, cfg provider.Config) error {
	if o.limits != "" {
		raw, err := os.ReadFile(o.limits)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &cfg.Limits); err != nil {
			return fmt.Errorf("%s: %w", o.limits, err)
		}
	}
	handler, err := provider.New(cfg)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		BaseContext:       func(net.Listener) context.Context { return ctx }, // Calls that wait are let go at the end.
	}
	var served []<-chan error
	if o.tlsListen != "" {
		ended, err := serveTLS(ctx, srv, o, cfg.Now())
		if err != nil {
			return err
		}
		served = append(served, ended)
	}
	ended, err := serve(ctx, srv, o.listen, o.ready, "http", srv.Serve)
	if err != nil {
		return errors.Join(err, srv.Close(), wait(served))
	}
	served = append(served, ended)
	select {
	case err := <-ended:
		return errors.Join(err, srv.Close(), wait(served[:len(served)-1]))
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // Whoever is still connected is cut off.
	}
	return wait(served)
}

// serveTLS serves HTTPS by a certificate whose authority is made now.
func serveTLS(ctx context.Context, srv *http.Server, o options, now time.Time) (<-chan error, error) {
	authority, err := provider.NewAuthority(now)
	if err != nil {
		return nil, err
	}
	if o.ca != "" {
		if err := writeFile(o.ca, string(authority.PEM())); err != nil {
			return nil, err
		}
	}
	srv.TLSConfig = authority.TLS()
	return serve(ctx, srv, o.tlsListen, o.tlsReady, "https", func(l net.Listener) error { return srv.ServeTLS(l, "", "") })
}

// serve listens, announces where, and returns what serving ends with.
func serve(
	ctx context.Context, srv *http.Server, listen, ready, scheme string, by func(net.Listener) error,
) (<-chan error, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- by(listener) }()
	if err := announce(ready, scheme+"://"+listener.Addr().String()+"/v1"); err != nil {
		return nil, errors.Join(err, srv.Close(), ignoreClosed(<-ended))
	}
	return ended, nil
}

// wait waits for the ends of what is served.
func wait(served []<-chan error) error {
	var errs []error
	for _, ended := range served {
		errs = append(errs, ignoreClosed(<-ended))
	}
	return errors.Join(errs...)
}

// announce writes the base URL to a file; an empty name writes it to standard output.
func announce(ready, base string) error {
	if ready == "" {
		_, err := fmt.Fprintln(os.Stdout, base)
		return err
	}
	return writeFile(ready, base)
}

// writeFile writes a file, whole or not at all.
func writeFile(name, text string) error {
	temporary, err := os.CreateTemp(filepath.Dir(name), ".ready-*")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(text)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return os.Rename(temporary.Name(), name)
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
