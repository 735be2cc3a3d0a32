package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/tools/checkout"
	"github.com/musketry/musketry/tools/concurrency"
	"github.com/musketry/musketry/tools/wait"
)

const (
	stackName = "Musketry"
	apiStage  = "v1"
	region    = "us-east-1"
	account   = "000000000000" // What local engines call the account of test credentials.
	// invocations is how many of execute run at once here: each is a process.
	invocations = "10"
	// standInStart bounds the stand-in's start.
	standInStart = 10 * time.Second
)

// credentials are an access key and its secret.
type credentials struct{ id, secret string }

// testCredentials are what local engines take.
var testCredentials = credentials{id: "test", secret: "test"} //nolint:gochecknoglobals // a constant in all but syntax

// credentials are the caller's for an engine of his own, which may want them, and test credentials for ours.
func (c *Cloud) credentials() credentials {
	if c.cfg.Engine != "external" {
		return testCredentials
	}
	given := testCredentials
	for _, entry := range c.cfg.Environ {
		switch name, value, _ := strings.Cut(entry, "="); name {
		case "AWS_ACCESS_KEY_ID":
			given.id = value
		case "AWS_SECRET_ACCESS_KEY":
			given.secret = value
		}
	}
	return given
}

// awsEnviron leads every SDK and the CDK to an endpoint, and away from the user's own profiles.
func awsEnviron(endpoint string, keys credentials) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + endpoint, "AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=" + keys.id, "AWS_SECRET_ACCESS_KEY=" + keys.secret,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}
}

// upstream settles whom execute calls: the provider that was named, or the stand-in, which is started.
func (c *Cloud) upstream(ctx context.Context, st *state) error {
	if c.cfg.UpstreamBaseURL != "" {
		_, err := c.process("standin").stop(ctx)
		st.Upstream, st.StandIn = c.cfg.UpstreamBaseURL, ""
		return err
	}
	begun := c.cfg.Now()
	url, err := c.startStandIn(ctx)
	st.Upstream, st.StandIn = url, url
	if err == nil {
		c.say("upstream", begun, "the stand-in at %s", url)
	}
	return err
}

// startStandIn starts the stand-in, again if its code has changed, and gives its base URL.
func (c *Cloud) startStandIn(ctx context.Context) (string, error) {
	binary, ready := c.path("bin/standin"), c.path("standin.url")
	hash, err := checkout.Hash(binary)
	if err != nil {
		return "", err
	}
	mark := c.path("standin.hash")
	running, _ := checkout.ReadText(mark)
	p := c.process("standin")
	if _, alive := p.alive(); alive && running == hash {
		return checkout.ReadText(ready)
	}
	if _, err := p.stop(ctx); err != nil {
		return "", err
	}
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := p.start(binary, []string{"-listen", "127.0.0.1:0", "-ready-file", ready}, []string{"PATH=/usr/bin:/bin"}); err != nil {
		return "", err
	}
	up := func() (bool, error) {
		if _, alive := p.alive(); !alive {
			return false, fmt.Errorf("it ended at its start:\n%s", p.tail())
		}
		url, err := checkout.ReadText(ready)
		return err == nil && url != "", nil
	}
	if err := wait.Until(ctx, standInStart, up); err != nil {
		return "", fmt.Errorf("start the stand-in: %w", err)
	}
	if err := checkout.WriteFile(mark, []byte(hash)); err != nil {
		return "", err
	}
	return checkout.ReadText(ready)
}

// streaming is "on" where the engine's gateway streams a Lambda's answer, which launch.py teaches ours.
func (c *Cloud) streaming() string {
	if c.cfg.Engine == "external" {
		return "off"
	}
	return "on"
}

// moreContexts gives the user's parameters of the CDK app. Returns an error for one that is no parameter, or that a local
// cloud has settled.
func (c *Cloud) moreContexts(settled []string) ([]string, error) {
	for _, pair := range c.cfg.Contexts {
		name, _, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("CDK_CONTEXT: %.64q is not of the form name=value", pair)
		}
		if slices.ContainsFunc(settled, func(other string) bool { return strings.HasPrefix(other, name+"=") }) {
			return nil, fmt.Errorf("CDK_CONTEXT: a local cloud has its own %s", name)
		}
	}
	return c.cfg.Contexts, nil
}

// Lacks lists the types of CloudFormation that only options bring, and that not every engine has: `make up` leaves them out.
func Lacks() []string { return []string{"AWS::WAFv2::WebACL", "AWS::WAFv2::WebACLAssociation"} }

// deploy bootstraps and deploys with the CDK, unless this very instance of the engine has all of it already.
func (c *Cloud) deploy(ctx context.Context, st *state, built artifacts) error {
	contexts := []string{
		"name=" + stackName, "apiStage=" + apiStage, "assets=" + built.lambdas, "architecture=" + hostArchitecture(),
		"removal=destroy", "invocations=" + invocations, "upstreamBaseUrl=" + st.Upstream,
		"upstreamAllowPrivate=on",
		"streaming=" + c.streaming(), "leaveOut=" + strings.Join(Lacks(), ","),
	}
	more, err := c.moreContexts(contexts)
	if err != nil {
		return err
	}
	contexts = append(contexts, more...)
	if contexts, err = c.fit(ctx, st, contexts); err != nil {
		return err
	}
	hash, err := c.inputsHash(st.Instance, contexts, built)
	if err != nil {
		return err
	}
	begun := c.cfg.Now()
	if st.Instance != "" && st.Deployed == hash {
		c.say("deploy", begun, "nothing has changed")
		return nil
	}
	if st.Instance == "" || st.Bootstrap != st.Instance {
		// In a folder without an app, which bootstrapping would run for nothing.
		if err := c.cdk(ctx, "bootstrap", c.cfg.State, built.cdk, st, "bootstrap", "aws://"+account+"/"+region); err != nil {
			return err
		}
		st.Bootstrap = st.Instance
		c.say("bootstrap", begun, "the CDK's own stack")
		begun = c.cfg.Now()
	}
	args := []string{
		"deploy", stackName, "--app", built.app, "--output", c.path("cdk.out"), "--outputs-file", c.path("outputs.json"),
		"--require-approval", "never", "--progress", "events",
	}
	for _, pair := range contexts {
		args = append(args, "--context", pair)
	}
	if err := c.cdk(ctx, "deploy", filepath.Join(c.cfg.Root, "infra"), built.cdk, st, args...); err != nil {
		return err
	}
	if err := c.deployed(ctx, st); err != nil {
		return err
	}
	st.Deployed = hash
	c.say("deploy", begun, "stack %s", stackName)
	return c.writeState(*st)
}

// fit lowers the invocations of execute to what the account has room for, as make deploy does. What an external engine says of
// its account is its own affair.
func (c *Cloud) fit(ctx context.Context, st *state, contexts []string) ([]string, error) {
	if c.cfg.Engine == "external" {
		return contexts, nil
	}
	clients, err := newClients(ctx, st.Endpoint, c.credentials())
	if err != nil {
		return nil, err
	}
	limits, err := concurrency.Read(ctx, clients.lambda, nil)
	if err != nil {
		return nil, err
	}
	fitted, said, err := limits.Contexts(contexts)
	if err == nil && !slices.Equal(fitted, contexts) {
		c.say("account", c.cfg.Now(), "%s", said)
	}
	return fitted, err
}

// cdk runs the CDK's command line against the engine. It asks no one for news and tells no one of itself.
func (c *Cloud) cdk(ctx context.Context, log, dir, program string, st *state, args ...string) error {
	env := append(awsEnviron(st.Endpoint, c.credentials()),
		"CDK_HOME="+c.path("cdk-home"), "CDK_DISABLE_CLI_TELEMETRY=true", "CI=true",
		"JSII_RUNTIME_PACKAGE_CACHE_ROOT="+filepath.Join(c.cfg.Root, ".tools", "jsii"))
	return c.checkout.Run(ctx, log, dir, env, program, append(args, "--no-notices", "--no-color")...)
}

// deployed reads the outputs and refuses a stack of which the engine only pretends to have made a part.
func (c *Cloud) deployed(ctx context.Context, st *state) error {
	data, err := os.ReadFile(c.path("outputs.json"))
	if err != nil {
		return err
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("read the stack's outputs: %w", err)
	}
	st.Outputs = all[stackName]
	if st.Outputs[outputs.APIID] == "" {
		return errors.New("the stack has no API id among its outputs")
	}
	st.BaseURL = st.Endpoint + "/_aws/execute-api/" + st.Outputs[outputs.APIID] + "/" + apiStage
	clients, err := newClients(ctx, st.Endpoint, c.credentials())
	if err != nil {
		return err
	}
	return clients.refuseFallbacks(ctx)
}

// inputsHash covers everything that a deployment is made of, and the instance that it is on.
func (c *Cloud) inputsHash(instance string, contexts []string, built artifacts) (string, error) {
	paths := []string{built.app, filepath.Join(c.cfg.Root, "infra", "cdk.json")}
	for _, name := range checkout.Functions() {
		paths = append(paths, filepath.Join(built.lambdas, name, "bootstrap"))
	}
	files, err := checkout.Hash(paths...)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join(slices.Concat([]string{instance, files}, contexts), "\x00")))
	return hex.EncodeToString(sum[:]), nil
}
