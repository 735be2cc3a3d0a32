package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/tenant"
	"github.com/musketry/musketry/tools/checkout"
	"github.com/musketry/musketry/tools/concurrency"
)

const (
	defaultName = "Musketry"
	// bootstrapMark is where the CDK's own stack says that it is there:
	// https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html
	bootstrapMark = "/cdk-bootstrap/hnb659fds/version"
	endPatience   = 30 * time.Second
)

// An account deploys with the user's own credentials.
type account struct {
	checkout checkout.Checkout
	upstream string // The provider's base URL; may be empty: the app's default.
	key      string // Its key; may be empty: what is kept in SSM stays; noneSaid: it wants none.
	yes      bool   // The CDK asks nothing.
	contexts []string
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	random   io.Reader
}

// check says whose account it is.
func (a account) check(ctx context.Context) error {
	cfg, who, err := a.identify(ctx)
	if err == nil {
		fmt.Fprintf(a.out, "account %s, region %s, as %s\n", aws.ToString(who.Account), cfg.Region, aws.ToString(who.Arn))
	}
	return err
}

// identify checks that there are credentials and asks whose they are.
func (a account) identify(ctx context.Context) (aws.Config, *sts.GetCallerIdentityOutput, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Config{}, nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, nil, errors.New("no AWS region: set AWS_REGION, or one in your profile")
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return aws.Config{}, nil, fmt.Errorf("no AWS credentials that work (set AWS_PROFILE, or sign in): %w", err)
	}
	return cfg, who, nil
}

func (a account) deploy(ctx context.Context) error {
	cfg, who, err := a.identify(ctx)
	if err != nil {
		return err
	}
	parameters := ssm.NewFromConfig(cfg)
	if err := a.hasKey(ctx, parameters); err != nil {
		return err
	}
	if err := a.bootstrap(ctx, parameters, aws.ToString(who.Account), cfg.Region); err != nil {
		return err
	}
	if a.contexts, err = a.fit(ctx, cfg); err != nil {
		return err
	}
	args := append([]string{"deploy", a.stack(), "--outputs-file", a.outputsFile()}, a.context()...)
	if a.yes {
		args = append(args, "--require-approval", "never")
	}
	if err := a.cdk(ctx, args...); err != nil {
		return err
	}
	out, err := a.outputs()
	if err != nil {
		return err
	}
	if err := a.carry(ctx, cfg, out, aws.ToString(who.Arn)); err != nil {
		return err
	}
	if a.key != "" && a.key != noneSaid {
		_, err := parameters.PutParameter(ctx, &ssm.PutParameterInput{
			Name: aws.String(out[outputs.UpstreamKey]), Value: &a.key,
			Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true),
		})
		if err != nil {
			return fmt.Errorf("keep the provider's key: %w", err)
		}
	}
	fmt.Fprintf(a.out, "\nexport OPENAI_BASE_URL=%s\nmake key TENANT=name makes an API key\n",
		strings.TrimSuffix(out[outputs.APIURL], "/"))
	return nil
}

// fit returns the parameters of the CDK app, with what the stack took over, and as many invocations of execute as the
// account has room for.
func (a account) fit(ctx context.Context, cfg aws.Config) ([]string, error) {
	formation := cloudformation.NewFromConfig(cfg)
	taken, err := a.takenOver(ctx, formation)
	if err != nil {
		return nil, err
	}
	if len(taken) > 0 {
		fmt.Fprintln(a.out, "with what it took over:", strings.Join(taken, " "))
	}
	functions, err := concurrency.Functions(ctx, formation, a.stack())
	if err != nil {
		return nil, err
	}
	limits, err := concurrency.Read(ctx, lambda.NewFromConfig(cfg), functions)
	if err != nil {
		return nil, err
	}
	contexts, said, err := limits.Contexts(slices.Concat(a.contexts, taken))
	if err == nil && said != "" {
		fmt.Fprintln(a.out, said)
	}
	return contexts, err
}

// bootstrap makes the CDK's own stack where there is none yet.
func (a account) bootstrap(ctx context.Context, parameters *ssm.Client, id, region string) error {
	_, err := parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(bootstrapMark)})
	var missing *types.ParameterNotFound
	if !errors.As(err, &missing) {
		return err
	}
	fmt.Fprintln(a.out, "this account and region are new to the CDK: making its own stack first")
	return a.cdk(ctx, append([]string{"bootstrap", "aws://" + id + "/" + region}, a.context()...)...)
}

func (a account) destroy(ctx context.Context) error {
	if _, _, err := a.identify(ctx); err != nil {
		return err
	}
	out, _ := a.outputs() // of a deployment from elsewhere there are none here
	args := append([]string{"destroy", a.stack()}, a.context()...)
	if a.yes {
		args = append(args, "--force")
	}
	if err := a.cdk(ctx, args...); err != nil {
		return err
	}
	fmt.Fprintln(a.out, "the tables and the bucket stay, protected from deletion, unless it was deployed with CDK_CONTEXT=removal=destroy;")
	fmt.Fprintf(a.out, "a new stack takes them over with CDK_CONTEXT='existingTable=%s existingAdminTable=%s existingBucket=%s'\n",
		cmp.Or(out[outputs.Table], "NAME"), cmp.Or(out[outputs.AdminTable], "NAME"), cmp.Or(out[outputs.Bucket], "NAME"))
	return nil
}

// carry fills the table of keys and models of a deployment that had both in its main table.
func (a account) carry(ctx context.Context, cfg aws.Config, out map[string]string, who string) error {
	store := func(output string) (*dynamostore.Store, error) {
		return dynamostore.New(dynamodb.NewFromConfig(cfg), dynamostore.Config{Table: out[output], Now: a.now})
	}
	from, err := store(outputs.Table)
	if err != nil {
		return err
	}
	to, err := store(outputs.AdminTable)
	if err != nil {
		return err
	}
	keys, models, err := carryOver(ctx, from, to, who, a.now())
	if errors.Is(err, errUnread) {
		fmt.Fprintf(a.err, "whether keys and models lie in the main table, as they did before they had one of their own, was not looked at: %v\n", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("fill the table of keys and models: %w", err)
	}
	if keys+models > 0 {
		fmt.Fprintf(a.out, "copied %d keys and %d models into the table of their own\n", keys, models)
	}
	return nil
}

// newKey makes a key of a tenant and shows it, once: what is kept is its hash.
func (a account) newKey(ctx context.Context, name string) error {
	cfg, who, err := a.identify(ctx)
	if err != nil {
		return err
	}
	out, err := a.outputs()
	if err != nil {
		return err
	}
	store, err := dynamostore.New(dynamodb.NewFromConfig(cfg), dynamostore.Config{Table: out[outputs.AdminTable], Now: a.now})
	if err != nil {
		return err
	}
	secret, key, err := tenant.NewKey(name, "make key", a.random, a.now())
	if err != nil {
		return err
	}
	act := tenant.Act{
		At: a.now(), Who: aws.ToString(who.Arn), What: "keys create", On: key.Tenant, With: fmt.Sprintf("key=%.12s name=%q", key.Hash, key.Name),
	}
	if err := store.PutAct(ctx, act); err != nil {
		return fmt.Errorf("log the act, without which it is not done: %w", err)
	}
	fmt.Fprintln(a.err, act)
	if err := store.PutKey(ctx, key); err != nil {
		return fmt.Errorf("keep the key: %w", err)
	}
	fmt.Fprintf(a.out, "export OPENAI_API_KEY=%s\n", secret)
	return nil
}

// cdk runs the CDK's command line as the user: it may ask, and shows what it does.
func (a account) cdk(ctx context.Context, args ...string) error {
	program, err := a.checkout.CDK(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = filepath.Join(a.checkout.Root, "infra")
	cmd.Env = a.checkout.Environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endPatience
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cdk %s: %w", args[0], err)
	}
	return nil
}

// context gives the parameters of the CDK app as arguments.
func (a account) context() []string {
	all := a.contexts
	if a.upstream != "" {
		all = append([]string{"upstreamBaseUrl=" + a.upstream}, all...)
	}
	var args []string
	for _, pair := range all {
		args = append(args, "--context", pair)
	}
	return args
}

// stack is the stack's name, which a parameter may change.
func (a account) stack() string { return a.parameter("name", defaultName) }

// parameter is what the CDK app is told of one of its parameters, or the fallback. As for the CDK the last one counts.
func (a account) parameter(name, fallback string) string {
	for _, pair := range a.contexts {
		if value, found := strings.CutPrefix(pair, name+"="); found && value != "" {
			fallback = value
		}
	}
	return fallback
}

func (a account) outputsFile() string {
	return filepath.Join(a.checkout.Logs, "outputs-"+a.stack()+".json")
}

// outputs reads what the last deployment from this checkout told.
func (a account) outputs() (map[string]string, error) {
	data, err := os.ReadFile(a.outputsFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s was not deployed from this checkout: run make deploy", a.stack())
	}
	if err != nil {
		return nil, err
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("read %s: %w", a.outputsFile(), err)
	}
	return all[a.stack()], nil
}
