package stack

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/constructs-go/constructs/v10"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/route"
)

// Props are the parameters of a deployment. PropsFromContext fills in the defaults, which are those for AWS.
type Props struct {
	Name                 string   // Stack name and prefix of fixed names: letters, digits, hyphens, at most 60.
	APIStage             string   // Last segment of the base URL, "v1" for the OpenAI SDKs.
	Assets               string   // Folder with submit/bootstrap, execute/bootstrap and finalize/bootstrap.
	Architecture         string   // "arm64" or "x86_64"; the binaries in Assets must match.
	Removal              string   // "retain" keeps table and bucket when the stack is deleted, "destroy" does not.
	ExistingTable        string   // The table of a stack that was deleted, which is taken over with its bucket; empty: both are made.
	ExistingAdminTable   string   // The table of keys and models that belongs to it.
	ExistingBucket       string   // The bucket that belongs to it.
	UpstreamBaseURL      string   // The provider that execute calls where no model says otherwise; empty: none.
	UpstreamAllowPrivate string   // "on" lets it have a private address and http, "off" does not.
	UpstreamCA           string   // Authorities besides the system's that upstreams' certificates may be signed by: PEM, or that in base64.
	Bedrock              string   // "on" lets execute call models of Amazon Bedrock by its role.
	UpstreamKeyParameter string   // Name of the SSM SecureString with its key; it starts with a slash.
	MessageGroups        string   // "on" for SQS fair queues (MessageGroupId = tenant), "off" where refused.
	Streaming            string   // "on" to stream downloads; "off" where the gateway cannot.
	LogLevel             string   // DEBUG, INFO, WARN or ERROR.
	APIRate              float64  // Requests a second that the API takes, 1 to 10,000.
	APIBurst             float64  // Requests at once that it takes beyond, 1 to 5,000.
	Invocations          float64  // Invocations of execute at once, 2 to 1,000 (an event source's own bounds).
	AccessLogs           string   // "on" writes a line of each request to the API.
	AllowedNetworks      []string // What requests may come from, in CIDR notation; empty: from anywhere.
	Firewall             string   // "on" has AWS WAF in front of the API.
	FirewallRate         float64  // Requests of an address in five minutes that it lets through, 10 to 2,000,000,000.
	LeaveOut             []string // Types of CloudFormation's that are left out, since an engine lacks them.
	SubmitConcurrency    float64  // Invocations reserved for submit, which then has no more, to 1,000; 0 reserves none.
	WarmWrites           float64  // Write units a second that the table is prepared for, 4,000 to 1,000,000; 0: what AWS gives a new one.
	SubmitMemory         float64  // MB, 128 to 10,240.
	ExecuteMemory        float64  // MB, 128 to 10,240.
	FinalizeMemory       float64  // MB, 128 to 10,240.

	// Settings are the limits and retries that differ from their defaults, by their names in the environment.
	Settings map[string]string
}

// A stack name becomes part of the state machine's, which AWS limits to 80 characters:
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
var namePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,59}$`)

// newTableWrites is what a new table on demand takes of write units a second:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
const newTableWrites = 4_000

// What names AWS takes, of a table and of a bucket:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
var (
	tablePattern  = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
	bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

// PropsFromContext reads the parameters from the CDK context (`cdk -c name=value`), which docs/configuration.md lists. An
// unusable value, and a name that is no parameter's, is an error that names its key.
func PropsFromContext(node constructs.Node) (*Props, error) {
	c := contextReader{node: node, known: map[string]parameter{}}
	props, err := c.props()
	if err == nil {
		err = checkExisting(props)
	}
	if err != nil {
		return nil, err
	}
	return props, nil
}

func (c *contextReader) props() (*Props, error) {
	props := &Props{
		Name:                 c.text("name", "Musketry"),
		APIStage:             c.text("apiStage", "v1"),
		Assets:               c.text("assets", "../build/lambda"),
		Architecture:         c.oneOf("architecture", "arm64", "x86_64"),
		Removal:              c.oneOf("removal", "retain", "destroy"),
		UpstreamBaseURL:      c.text("upstreamBaseUrl", "https://api.openai.com/v1"),
		UpstreamAllowPrivate: c.oneOf("upstreamAllowPrivate", "off", "on"),
		UpstreamCA:           c.text("upstreamCa", ""),
		Bedrock:              c.oneOf("bedrock", "off", "on"),
		MessageGroups:        c.oneOf("messageGroups", "on", "off"),
		Streaming:            c.oneOf("streaming", "on", "off"),
		LogLevel:             c.oneOf("logLevel", "INFO", "DEBUG", "WARN", "ERROR"),
		// An account's own limits: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
		APIRate:         c.number("apiRate", 100, 1, 10_000),
		APIBurst:        c.number("apiBurst", 200, 1, 5_000),
		AccessLogs:      c.oneOf("accessLogs", "off", "on"),
		AllowedNetworks: c.list("allowedNetworks"),
		Firewall:        c.oneOf("firewall", "off", "on"),
		// https://docs.aws.amazon.com/waf/latest/developerguide/waf-rule-statement-type-rate-based-high-level-settings.html
		FirewallRate: c.number("firewallRate", 10_000, 10, 2_000_000_000),
		LeaveOut:     c.list("leaveOut"),
		// https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
		SubmitConcurrency: c.number("submitConcurrency", 0, 0, 1000),
		// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html
		WarmWrites: c.number("warmWrites", 0, 0, 1_000_000),
		// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
		Invocations: c.number("invocations", 10, 2, 1000),
		// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
		SubmitMemory:   c.number("submitMemory", 512, 128, 10240),
		ExecuteMemory:  c.number("executeMemory", 1024, 128, 10240),
		FinalizeMemory: c.number("finalizeMemory", 512, 128, 10240),
	}
	if props.UpstreamBaseURL == "none" {
		props.UpstreamBaseURL = ""
	}
	props.Settings = c.settings()
	c.existing(props)
	props.UpstreamKeyParameter = c.text("upstreamKeyParameter", "/"+strings.ToLower(props.Name)+"/upstream-key")
	var badBase error
	if props.UpstreamBaseURL != "" {
		badBase = route.CheckBaseURL(props.UpstreamBaseURL, props.UpstreamAllowPrivate == "on")
	}
	_, badCA := boot.Authorities(props.UpstreamCA)
	switch {
	case c.err != nil:
		return nil, c.err
	case props.WarmWrites > 0 && props.WarmWrites < newTableWrites:
		return nil, fmt.Errorf("context warmWrites: %.0f is less than the %d that a new table has; 0 leaves it at that", props.WarmWrites, newTableWrites)
	case badBase != nil: // it does not quote the URL, which may hold a password
		return nil, fmt.Errorf("context upstreamBaseUrl: %w", badBase)
	case props.UpstreamCA != "" && badCA != nil:
		return nil, fmt.Errorf("context upstreamCa %w", badCA)
	case c.unknown() != "":
		return nil, fmt.Errorf("context %s: there is no such parameter; docs/configuration.md lists them", c.unknown())
	case checkNetworks(props.AllowedNetworks) != nil:
		return nil, fmt.Errorf("context allowedNetworks: %w", checkNetworks(props.AllowedNetworks))
	case badType(props.LeaveOut) != "":
		return nil, fmt.Errorf("context leaveOut: %.50q is no type such as AWS::WAFv2::WebACL", badType(props.LeaveOut))
	case !namePattern.MatchString(props.Name):
		return nil, fmt.Errorf("context name: %q does not match %s", props.Name, namePattern)
	case props.APIStage == AzureStage:
		return nil, fmt.Errorf("context apiStage: %q is the stage for Azure's clients; name another", props.APIStage)
	case !strings.HasPrefix(props.UpstreamKeyParameter, "/"):
		return nil, fmt.Errorf("context upstreamKeyParameter: %q must start with a slash", props.UpstreamKeyParameter)
	}
	return props, nil
}

// existing reads what a stack takes over.
func (c *contextReader) existing(props *Props) {
	props.ExistingTable = c.text("existingTable", "")
	props.ExistingAdminTable = c.text("existingAdminTable", "")
	props.ExistingBucket = c.text("existingBucket", "")
}

// checkExisting returns an error unless tables and bucket are all named as AWS may name them, or none is.
func checkExisting(props *Props) error {
	table, admin, bucket := props.ExistingTable, props.ExistingAdminTable, props.ExistingBucket
	if table == "" && admin == "" && bucket == "" {
		return nil
	}
	for _, name := range []struct {
		key, value string
		pattern    *regexp.Regexp
	}{{"existingTable", table, tablePattern}, {"existingAdminTable", admin, tablePattern}, {"existingBucket", bucket, bucketPattern}} {
		if !name.pattern.MatchString(name.value) {
			return fmt.Errorf("context %s: %.64q does not match %s; existingTable, existingAdminTable and existingBucket belong together",
				name.key, name.value, name.pattern)
		}
	}
	return nil
}

// A contextReader reads context values and keeps the first error.
type contextReader struct {
	node interface {
		TryGetContext(key *string) any
		GetAllContext(defaults *map[string]any) any
	}
	known map[string]parameter // What was asked for.
	err   error
}

// A parameter is what a deployment may choose.
type parameter struct {
	fallback string
	bounds   string   // Of a number.
	values   []string // If there are few.
}

func (c *contextReader) text(key, fallback string) string {
	c.known[key] = parameter{fallback: fallback}
	return c.value(key, fallback)
}

// list reads texts with commas between them.
func (c *contextReader) list(key string) []string {
	text := c.text(key, "")
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// badType returns the first of some texts that is no type of a resource of CloudFormation's, or "".
func badType(types []string) string {
	form := regexp.MustCompile(`^[A-Za-z0-9]+(::[A-Za-z0-9]+){2}$`)
	for _, text := range types {
		if !form.MatchString(text) {
			return cmp.Or(text, ",")
		}
	}
	return ""
}

func (c *contextReader) value(key, fallback string) string {
	value := c.node.TryGetContext(&key)
	if value == nil || value == "" {
		return fallback
	}
	return fmt.Sprint(value)
}

// settings reads limits and retries, which are checked as the function will check them.
func (c *contextReader) settings() map[string]string {
	given := map[string]string{}
	var words []string
	choices := boot.Choices()
	slices.SortFunc(choices, func(a, b boot.Choice) int { return len(b.Env) - len(a.Env) }) // one name begins with another
	for _, choice := range choices {
		words = append(words, choice.Env, choice.Context)
		if text := c.text(choice.Context, ""); text != "" {
			given[choice.Env] = text
		}
	}
	if _, err := boot.ReadSettings(func(name string) string { return given[name] }); err != nil {
		c.fail(fmt.Errorf("context %s", strings.NewReplacer(words...).Replace(err.Error())))
	}
	return given
}

// unknown returns a name that was given and never read, or "": a limit that is misspelt would limit nothing. What the CDK
// and its lookups add has a colon or a slash in its name.
func (c *contextReader) unknown() string {
	given, _ := c.node.GetAllContext(nil).(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, known := c.known[name]; !known && !strings.ContainsAny(name, ":/") {
			return name
		}
	}
	return ""
}

// oneOf reads a value that must be one of those given; the first is the default.
func (c *contextReader) oneOf(key string, values ...string) string {
	c.known[key] = parameter{fallback: values[0], values: values}
	got := c.value(key, values[0])
	for _, value := range values {
		if got == value {
			return got
		}
	}
	c.fail(fmt.Errorf("context %s: %q is none of %s", key, got, strings.Join(values, ", ")))
	return values[0]
}

// number reads an integer between lowest and highest.
func (c *contextReader) number(key string, fallback, lowest, highest float64) float64 {
	bounds := fmt.Sprintf("%.0f to %.0f", lowest, highest)
	c.known[key] = parameter{fallback: fmt.Sprint(fallback), bounds: bounds}
	text := c.value(key, fmt.Sprint(fallback))
	value, err := strconv.Atoi(text)
	if err != nil || float64(value) < lowest || float64(value) > highest {
		c.fail(fmt.Errorf("context %s: %q is no integer from %s", key, text, bounds))
		return fallback
	}
	return float64(value)
}

func (c *contextReader) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}
