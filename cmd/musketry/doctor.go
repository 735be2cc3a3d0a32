package main

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/internal/cli"
	"github.com/musketry/musketry/internal/doctor"
)

// defaultStack is the name of a deployment that was given none.
const defaultStack = "Musketry"

// A doctorCommand is what "doctor" works with.
type doctorCommand struct {
	stack string // MUSKETRY_STACK, or --stack
	env   cli.Env
	open  func(ctx context.Context, stack string) (*deployed, error)

	smoke  bool
	config doctor.SmokeConfig
}

// command returns "doctor".
func (d *doctorCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check a deployment, and say what to do about what is wrong",
		Long: `Check a deployment with your own AWS credentials, and say what to do about what
is wrong: the account's concurrency, the queue and its event source, dead letters,
batches without a flow, paused routes, and whether each route's key is there and
its provider takes it. It changes nothing and calls no model.

With --smoke it runs small batches through the deployment's API too, with
OPENAI_API_KEY or --key-file: some 30 short requests and a dozen long ones of one
model, a download of 24 MB, a cut one, a cancel, an expiry and early results. It
takes some minutes, costs what those requests cost, and deletes its files.`,
		Example: `  musketry doctor
  musketry doctor --stack Musketry-eu --json
  musketry doctor --smoke --model gpt-4o-mini`,
		GroupID: cli.GroupDeployment,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context(), cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&d.stack, "stack", cmp.Or(d.stack, defaultStack), "the deployment's CloudFormation stack (default: $MUSKETRY_STACK, or "+defaultStack+")")
	f.Lookup("stack").DefValue = ""
	f.BoolVar(&d.smoke, "smoke", false, "run batches through it too, which costs some requests")
	f.StringVar(&d.config.Model, "model", "", "of --smoke: the model that is asked (default: the first that the deployment lists)")
	f.StringVar(&d.config.Slow, "slow-model", "", "of --smoke: a model that takes longer than 10 s for an answer (default: --model, told to write much)")
	return cmd
}

// run makes all checks and shows what they find, as they do.
func (d *doctorCommand) run(ctx context.Context, cmd *cobra.Command) error {
	if !d.smoke && (d.config.Model != "" || d.config.Slow != "") {
		return errors.New("--model and --slow-model are for --smoke: give that too")
	}
	asJSON, _ := cmd.Flags().GetBool("json")
	show := &findings{out: cmd.OutOrStdout(), json: asJSON}
	site, err := d.open(ctx, d.stack)
	if err != nil {
		return err
	}
	var smoke *doctor.Smoke
	if d.smoke { // what it lacks is told before anything is done
		if smoke, err = d.smokeTest(cmd, site); err != nil {
			return err
		}
	}
	doctor.New(site.deps(d.env.Now), site.config()).Check(ctx, show.add)
	if smoke != nil && ctx.Err() == nil {
		smoke.Run(ctx, show.add)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("doctor: %w", ctx.Err())
	}
	return show.end()
}

// smokeTest returns the smoke test of a deployment's API.
func (d *doctorCommand) smokeTest(cmd *cobra.Command, site *deployed) (*doctor.Smoke, error) {
	base := "" // the environment's may be of another deployment
	if cmd.Flags().Changed("base-url") {
		base, _ = cmd.Flags().GetString("base-url")
	}
	keyFile, _ := cmd.Flags().GetString("key-file")
	remote, err := cli.NewRemote(d.env, cmp.Or(base, strings.TrimSuffix(site.outputs[outputs.APIURL], "/")), keyFile)
	if err != nil {
		return nil, err
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	return doctor.NewSmoke(doctor.SmokeDeps{
		Files: remote, Batches: remote, Catalog: remote, Clock: d.env.Now, Random: rand.NewChaCha8(seed),
	}, d.config), nil
}

// findings shows findings as they come.
type findings struct {
	out      io.Writer
	json     bool
	failures int
	warnings int
	err      error // of writing
}

func (s *findings) add(f doctor.Finding) {
	switch f.Status {
	case doctor.Failure:
		s.failures++
	case doctor.Warning:
		s.warnings++
	case doctor.OK:
	}
	text := s.text(f)
	if s.json {
		line, err := json.Marshal(f)
		s.err = errors.Join(s.err, err)
		text = string(line) + "\n"
	}
	if s.err == nil {
		_, s.err = io.WriteString(s.out, text)
	}
}

// text returns a finding for a person: one line, and others below it for what to
// do. What came from elsewhere cannot move the cursor.
func (s *findings) text(f doctor.Finding) string {
	about := f.Check
	if f.Subject != "" {
		about += " " + f.Subject
	}
	text := fmt.Sprintf("%-8s %s: %s\n", f.Status, printable(about), printable(f.Message))
	if f.Status == doctor.OK {
		return text
	}
	if f.Remedy != "" {
		text += "         do: " + printable(f.Remedy) + "\n"
	}
	if f.Shows != "" {
		text += "         it shows whether " + f.Shows + "\n"
	}
	return text
}

// end says how it went, and returns cli.ErrUnhealthy if there is a failure.
func (s *findings) end() error {
	if s.err != nil {
		return fmt.Errorf("standard output: %w", s.err)
	}
	if !s.json {
		fmt.Fprintf(s.out, "%d failures, %d warnings\n", s.failures, s.warnings)
	}
	if s.failures > 0 {
		return cli.ErrUnhealthy
	}
	return nil
}

// printable returns text on one line, without control characters.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
