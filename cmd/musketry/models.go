package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/route"
)

// mainRoute is the name of a model's route that nobody named.
const mainRoute = "main"

// modelsCommand returns "models", with the commands to set, list, show and remove
// models.
func (a *admin) modelsCommand() *cobra.Command {
	models := &cobra.Command{
		Use:   "models",
		Short: "Say where requests for a model go, and within which limits",
		Long: "Say where requests for a model go, and within which limits, in the deployment's DynamoDB\n" +
			"table and with your own AWS credentials. Workers have it within 5 seconds, without a deploy.\n\n" +
			"A model is named by a pattern: a name, or one with * in it. The pattern with the most literal\n" +
			"characters wins. A key is never given here, but where it lies: ssm:NAME or secretsmanager:NAME\n" +
			"is a parameter or secret below the deployment's prefix, which is an output of \"make deploy\".",
		Example: `  musketry admin models set 'gpt-4o*' --base-url https://api.openai.com/v1 --auth bearer --key ssm:openai --rpm 500
  musketry admin models set 'gpt-4o*' --route eu --base-url https://eu.example.com/v1 --auth header --auth-header api-key --key ssm:eu
  musketry admin models set 'gpt-4o*' --route main --weight 3
  musketry admin models set --file model.json
  musketry admin models show 'gpt-4o*' > model.json
  musketry admin models remove 'gpt-4o*' --route eu`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.tableFlag(models)
	models.AddCommand(a.setModelCommand(), a.listModelsCommand(), a.showModelCommand(), a.removeModelCommand())
	return models
}

// A modelChange is what the flags of "set" say. Only flags that were given count.
type modelChange struct {
	file    string
	name    string // of the route; empty: the only one, or mainRoute
	route   route.Route
	headers map[string]string
	model   route.Model
	to      string
	before  time.Duration
}

func (a *admin) setModelCommand() *cobra.Command {
	var c modelChange
	cmd := &cobra.Command{
		Use:   "set PATTERN [flags] | set --file model.json",
		Short: "Make a model, or change what is named of it",
		Long: "Make a model, or change it: what no flag names stays as it is. Each --route of a model is set by\n" +
			"itself; --file sets the whole of it, in the form that \"show\" prints.",
		Example: `  musketry admin models set 'gpt-4o*' --base-url https://api.openai.com/v1 --auth bearer --key ssm:openai --rpm 500
  musketry admin models set --file model.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && c.file == "" {
				return errors.New("name a pattern, such as gpt-4o*, or a --file")
			}
			whole, err := c.read(cmd, args)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(ctx context.Context, store adminStore) error {
				if err := a.setModel(ctx, cmd, &c, store, whole); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is set. Workers have it within 5 seconds.\n", whole.Pattern)
				return err
			})
		},
	}
	c.flags(cmd)
	return cmd
}

// setModel stores a model: all of whole if it comes from a file, else what is stored
// with what cmd's flags change of it.
func (a *admin) setModel(ctx context.Context, cmd *cobra.Command, c *modelChange, store adminStore, whole route.Model) error {
	stored, err := modelOf(ctx, store, whole.Pattern)
	if errors.Is(err, route.ErrNotFound) {
		err = hasRoom(ctx, store)
	}
	if err != nil {
		return err
	}
	if c.file == "" {
		whole = c.over(cmd, whole.Pattern, stored)
	}
	whole.Revision = stored.Revision
	if err := whole.Validate(); err != nil { // before it is logged, as it may say what is no one's to read
		return err
	}
	err = a.do(ctx, cmd, store, modelAct("models set", whole, cmd.Flags()), func() error { return store.PutModel(ctx, whole) })
	return changed(err, whole.Pattern)
}

// flags has cmd read c.
func (c *modelChange) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.file, "file", "", "the whole model as JSON; - for standard input")
	f.StringVar(&c.name, "route", "", "which of the model's routes the flags are about (default: its only one, or "+mainRoute+")")
	f.StringVar(&c.route.BaseURL, "base-url", "", "where the upstream's API begins, such as https://api.openai.com/v1")
	f.StringVar(&c.route.Auth.Kind, "auth", "", "bearer, header, sigv4, or none")
	f.StringVar(&c.route.Auth.Header, "auth-header", "", "of --auth header: the header that has the key, such as api-key")
	f.StringVar(&c.route.Auth.Key, "key", "", "of bearer and header: ssm:NAME, secretsmanager:NAME, or default (the deployment's own)")
	f.StringVar(&c.route.Auth.Service, "service", "", "of sigv4: what is signed for, such as bedrock")
	f.StringVar(&c.route.Auth.Region, "region", "", "of sigv4: the AWS region")
	f.StringToStringVar(&c.headers, "header", nil, "an extra header, as NAME=VALUE; all of a route's are replaced")
	f.StringVar(&c.route.Model, "upstream-model", "", "the model's name there; empty sends the line's own")
	f.IntVar(&c.route.Weight, "weight", 0, "the route's share among the model's routes (default 1)")
	f.BoolVar(&c.route.AllowPrivate, "allow-private", false, "allow private and link-local addresses, and http")
	f.IntVar(&c.route.MaxConcurrency, "max-concurrency", 0, "most calls in flight of all workers together; 0: no limit")
	f.IntVar(&c.route.RPM, "rpm", 0, "most requests a minute of all workers together; 0: no limit")
	f.IntVar(&c.route.TPM, "tpm", 0, "most tokens a minute of all workers together; 0: no limit")
	f.DurationVar(&c.route.Connect, "connect", 0, "longest time to connect (default 10s)")
	f.DurationVar(&c.route.FirstByte, "first-byte", 0, "longest time to an answer's first byte; 0: no limit")
	f.DurationVar(&c.route.Total, "total", 0, "longest time of a call; 0: as long as an invocation allows")
	f.Int64Var(&c.route.AnswerLimit, "answer-limit", 0, "largest answer in bytes (default 67108864)")
	f.StringSliceVar(&c.model.Retryable, "retryable", nil, "statuses that are tried again, such as 429,5xx; empty: the deployment's")
	f.StringVar(&c.model.SpentQuota, "spent-quota", "", "pause or fail: what a spent quota does: a 402, or a 429 of the code insufficient_quota and the like (default pause)")
	f.StringVar(&c.to, "escalate-to", "", "the model that answers late requests; empty: none")
	f.DurationVar(&c.before, "escalate-before", 0, "how long before the deadline a request is late")
}

// read returns the model that cmd names: all of it from a file, else its pattern.
func (c *modelChange) read(cmd *cobra.Command, args []string) (route.Model, error) {
	if c.file == "" {
		return route.Model{Pattern: args[0]}, nil
	}
	for name := range c.routeFields() {
		if cmd.Flags().Changed(name) {
			return route.Model{}, fmt.Errorf("--%s: a --file has the whole model: write it there", name)
		}
	}
	in, from := cmd.InOrStdin(), "standard input"
	if c.file != "-" {
		file, err := os.Open(c.file)
		if err != nil {
			return route.Model{}, fmt.Errorf("--file: %w", err)
		}
		defer func() { _ = file.Close() }() // it was only read
		in, from = file, c.file
	}
	data, err := io.ReadAll(io.LimitReader(in, route.MaxBytes+1))
	if err != nil {
		return route.Model{}, fmt.Errorf("--file: %w", err)
	}
	m, err := route.Parse(data)
	if err != nil {
		return route.Model{}, fmt.Errorf("%s: %w", from, err)
	}
	if len(args) > 0 && args[0] != m.Pattern {
		return route.Model{}, fmt.Errorf("%s is about the model %.80q: name that one, or none", from, m.Pattern)
	}
	return m, nil
}

// routeFields returns what each flag sets, by its name. Those about the model have
// no route.
func (c *modelChange) routeFields() map[string]func(r *route.Route) {
	return map[string]func(r *route.Route){
		"base-url":        func(r *route.Route) { r.BaseURL = c.route.BaseURL },
		"auth":            func(r *route.Route) { r.Auth.Kind = c.route.Auth.Kind },
		"auth-header":     func(r *route.Route) { r.Auth.Header = c.route.Auth.Header },
		"key":             func(r *route.Route) { r.Auth.Key = c.route.Auth.Key },
		"service":         func(r *route.Route) { r.Auth.Service = c.route.Auth.Service },
		"region":          func(r *route.Route) { r.Auth.Region = c.route.Auth.Region },
		"header":          func(r *route.Route) { r.Headers = c.headers },
		"upstream-model":  func(r *route.Route) { r.Model = c.route.Model },
		"weight":          func(r *route.Route) { r.Weight = c.route.Weight },
		"allow-private":   func(r *route.Route) { r.AllowPrivate = c.route.AllowPrivate },
		"max-concurrency": func(r *route.Route) { r.MaxConcurrency = c.route.MaxConcurrency },
		"rpm":             func(r *route.Route) { r.RPM = c.route.RPM },
		"tpm":             func(r *route.Route) { r.TPM = c.route.TPM },
		"connect":         func(r *route.Route) { r.Connect = c.route.Connect },
		"first-byte":      func(r *route.Route) { r.FirstByte = c.route.FirstByte },
		"total":           func(r *route.Route) { r.Total = c.route.Total },
		"answer-limit":    func(r *route.Route) { r.AnswerLimit = c.route.AnswerLimit },
	}
}

// over returns stored with what cmd's flags change of it.
func (c *modelChange) over(cmd *cobra.Command, pattern string, stored route.Model) route.Model {
	m := stored
	m.Pattern, m.Routes = pattern, slices.Clone(stored.Routes)
	given := cmd.Flags().Changed
	if given("retryable") {
		m.Retryable = c.model.Retryable
	}
	if given("spent-quota") {
		m.SpentQuota = c.model.SpentQuota
	}
	m.Escalation = c.escalation(given, stored.Escalation)
	var changes []func(*route.Route)
	for name, change := range c.routeFields() {
		if given(name) {
			changes = append(changes, change)
		}
	}
	if len(changes) == 0 && !given("route") && len(m.Routes) > 0 {
		return m
	}
	name := c.name
	switch {
	case name == "" && len(m.Routes) == 1:
		name = m.Routes[0].Name
	case name == "":
		name = mainRoute
	}
	at := slices.IndexFunc(m.Routes, func(r route.Route) bool { return r.Name == name })
	if at < 0 {
		at, m.Routes = len(m.Routes), append(m.Routes, route.Route{Name: name})
	}
	for _, change := range changes {
		change(&m.Routes[at])
	}
	return m
}

func (c *modelChange) escalation(given func(string) bool, stored *route.Escalation) *route.Escalation {
	if !given("escalate-to") && !given("escalate-before") {
		return stored
	}
	e := route.Escalation{}
	if stored != nil {
		e = *stored
	}
	if given("escalate-to") {
		e.Model = c.to
	}
	if given("escalate-before") {
		e.Before = c.before
	}
	if e.Model == "" && !given("escalate-before") {
		return nil
	}
	return &e
}

func (a *admin) listModelsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Example: "  musketry admin models list\n  musketry admin models list --json | jq -r .pattern",
		Short:   "List models and their routes, the one that wins first",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, store adminStore) error {
				models, err := store.Models(ctx)
				if err != nil {
					return fmt.Errorf("list models: %w", err)
				}
				if asJSON, _ := cmd.Flags().GetBool("json"); len(models) == 0 && !asJSON {
					cmd.PrintErrln("There are no models: all requests go by the deployment's own route, if it has one.")
					return nil
				}
				if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
					return printLines(cmd.OutOrStdout(), route.NewTable(models...).Models())
				}
				return printModels(cmd.OutOrStdout(), route.NewTable(models...).Models())
			})
		},
	}
}

func (a *admin) showModelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show PATTERN",
		Example: "  musketry admin models show 'gpt-4o*' > model.json",
		Short:   "Show a model as JSON, in the form that \"set --file\" reads",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, store adminStore) error {
				m, err := modelOf(ctx, store, args[0])
				if err != nil {
					return err
				}
				text, err := json.MarshalIndent(m, "", "  ")
				if err != nil {
					return fmt.Errorf("show the model: %w", err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
				return err
			})
		},
	}
}

func (a *admin) removeModelCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "remove PATTERN",
		Example: "  musketry admin models remove 'gpt-4o*'\n  musketry admin models remove 'gpt-4o*' --route second",
		Short:   "Remove a model, or one of its routes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, store adminStore) error {
				what, err := a.removeModel(ctx, cmd, store, args[0], name)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is removed. Workers know it within 5 seconds.\n", what)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&name, "route", "", "only this route of it")
	return cmd
}

// removeModel removes a model, or the route of that name, and returns what was removed.
func (a *admin) removeModel(ctx context.Context, cmd *cobra.Command, store adminStore, pattern, name string) (string, error) {
	m, err := modelOf(ctx, store, pattern)
	if err != nil {
		return "", err
	}
	if name == "" {
		err := a.do(ctx, cmd, store, modelAct("models remove", m, cmd.Flags()), func() error { return store.DeleteModel(ctx, pattern, m.Revision) })
		return pattern, changed(err, pattern)
	}
	if m, err = without(m, name); err != nil {
		return "", err
	}
	act := modelAct("models remove route", m, cmd.Flags())
	act.With = "route=" + name + " " + act.With
	err = a.do(ctx, cmd, store, act, func() error { return store.PutModel(ctx, m) })
	return fmt.Sprintf("The route %s of %s", name, pattern), changed(err, pattern)
}

// without returns m without one of its routes.
func without(m route.Model, name string) (route.Model, error) {
	rest := slices.DeleteFunc(slices.Clone(m.Routes), func(r route.Route) bool { return r.Name == name })
	switch len(rest) {
	case len(m.Routes):
		return m, fmt.Errorf("%s has no route %.64q", m.Pattern, name)
	case 0:
		return m, fmt.Errorf("%s has no other route: remove the model, without --route", m.Pattern)
	}
	m.Routes = rest
	return m, nil
}

// modelOf returns the stored model of exactly that pattern, or an error that wraps
// route.ErrNotFound and says which one its requests go by.
func modelOf(ctx context.Context, store adminStore, pattern string) (route.Model, error) {
	models, err := store.Models(ctx)
	if err != nil {
		return route.Model{}, fmt.Errorf("read models: %w", err)
	}
	for _, m := range models {
		if m.Pattern == pattern {
			return m, nil
		}
	}
	if m, ok := route.NewTable(models...).Match(pattern); ok {
		return route.Model{}, fmt.Errorf("%w of the pattern %.80q: its requests go by %s", route.ErrNotFound, pattern, m.Pattern)
	}
	return route.Model{}, fmt.Errorf("%w of the pattern %.80q", route.ErrNotFound, pattern)
}

// hasRoom returns nil if the deployment takes one model more.
func hasRoom(ctx context.Context, store adminStore) error {
	models, err := store.Models(ctx)
	if err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	if len(models) >= route.MaxModels {
		return fmt.Errorf("a deployment takes %d models, and this one has as many: remove one, or name several by one pattern",
			route.MaxModels)
	}
	return nil
}

// changed says of a conflict what to do.
func changed(err error, pattern string) error {
	if errors.Is(err, route.ErrConflict) {
		return fmt.Errorf("%s was changed by somebody else at this moment: look at it, and try again: %w", pattern, err)
	}
	return err
}

func printModels(out io.Writer, models []route.Model) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "PATTERN\tROUTE\tBASE URL\tAUTH\tWEIGHT\tMAX CONCURRENCY\tRPM\tTPM") // Flush tells
	for _, m := range models {
		if len(m.Routes) == 0 {
			_, _ = fmt.Fprintf(w, "%s\t(invalid: set it again)\n", m.Pattern)
		}
		for _, r := range m.Routes {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n",
				m.Pattern, r.Name, r.BaseURL, r.Auth.Kind, r.Weight, limit(r.MaxConcurrency), limit(r.RPM), limit(r.TPM))
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

func limit(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// tableFlag gives cmd, and those below it, the flag that names the deployment.
func (a *admin) tableFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&a.table, "table", a.table, "the deployment's DynamoDB table of keys and models (default: $"+boot.EnvAdminTable+")")
	cmd.PersistentFlags().Lookup("table").DefValue = ""
}
