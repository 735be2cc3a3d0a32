package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/musketry/musketry/localstack/standin/provider"
)

// run serves until ctx ends, and returns when all connections are closed.
func run(ctx context.Context, listen, ready string, cfg provider.Config) error {
	handler, err := provider.New(cfg)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // Calls that wait are let go at the end.
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	if err := announce(ready, "http://"+listener.Addr().String()+"/v1"); err != nil {
		return errors.Join(err, srv.Close(), ignoreClosed(<-served))
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // Whoever is still connected is cut off.
	}
	return ignoreClosed(<-served)
}

// announce writes the base URL to a file, whole or not at all; an empty name writes it to standard output.
func announce(ready, base string) error {
	if ready == "" {
		_, err := fmt.Fprintln(os.Stdout, base)
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(ready), ".ready-*")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(base)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return os.Rename(temporary.Name(), ready)
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
