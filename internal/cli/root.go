package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `Musketry runs large batches of LLM requests. Its API is OpenAI's Files and Batches
API, so this command works with any server that speaks it.

A batch is a JSONL file, one request a line:

  {"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[…]}}`

const rootExample = `  export OPENAI_BASE_URL=https://….execute-api.eu-central-1.amazonaws.com/prod/v1
  export OPENAI_API_KEY=sk-musketry-…
  musketry run requests.jsonl -o answers.jsonl --errors failures.jsonl
  musketry submit requests.jsonl --watch
  musketry requests batch_01… --status failed
  musketry retry batch_01… --watch`

const rootTail = `
Environment:
  OPENAI_BASE_URL   where the API is, ending in /v1 (or --base-url)
  OPENAI_API_KEY    the key sent to it (or --key-file)

Exit codes:
  0    done; if the batch's end was seen, no request failed
  1    called wrongly, a file is bad, or a file, the network or the API failed
  2    the batch failed, expired or was cancelled
  3    the batch completed, and some of its requests failed
  4    doctor found a failure
  5    results were fetched of a batch that has not ended: there will be more
  130  interrupted; a batch that was submitted goes on
`

// GroupDeployment is the group of the commands for a deployment's owner.
const GroupDeployment = "deployment"

// An app is what the commands share.
type app struct {
	env     Env
	baseURL string
	keyFile string
	json    bool
}

func newRoot(env Env, admin []*cobra.Command) *cobra.Command {
	a := &app{env: env}
	root := &cobra.Command{
		Use:           "musketry",
		Short:         "Run large batches of LLM requests",
		Long:          rootLong,
		Example:       rootExample,
		Version:       env.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		// Up to two slips of the finger; cobra sets it for its own errors only.
		SuggestionsMinimumDistance: 2,
		Args:                       knownCommand,
		RunE:                       showHelp,
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(usageError)
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	flags := root.PersistentFlags()
	flags.StringVar(&a.baseURL, "base-url", env.BaseURL, "where the API is, ending in /v1 (default: $OPENAI_BASE_URL)")
	// The default would put the environment into the help.
	flags.Lookup("base-url").DefValue = ""
	flags.StringVar(&a.keyFile, "key-file", "", "file that holds the API key (default: $OPENAI_API_KEY)")
	flags.BoolVar(&a.json, "json", false, "print JSON objects, one a line")
	addGroup(
		root, "batches", "Batches:",
		a.runCommand(), a.submitCommand(), a.watchCommand(), a.statusCommand(), a.listCommand(), a.resultsCommand(),
		a.requestsCommand(), a.retryCommand(), a.cancelCommand(),
	)
	addGroup(root, groupFiles, "Files of requests:", a.makeBatchCommand(), a.validateCommand(), a.estimateCommand(), a.proxyCommand())
	addGroup(root, "tenant", "Your files and limits:", a.filesCommand(), a.usageCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(completionCommand())
	addAdmin(root, admin)
	return root
}

// addGroup adds commands under a title.
func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = id
		root.AddCommand(cmd)
	}
}

// addAdmin puts the commands of a deployment's owner into a group of their own.
func addAdmin(root *cobra.Command, commands []*cobra.Command) {
	if len(commands) == 0 {
		return
	}
	admin := &cobra.Command{
		Use:     "admin",
		Short:   "Manage a deployment, with the rights of its AWS account",
		GroupID: GroupDeployment,
		Args:    knownCommand,
		RunE:    showHelp,
	}
	beside := func(c *cobra.Command) bool { return c.GroupID == GroupDeployment }
	for _, c := range commands {
		if beside(c) {
			root.AddCommand(c)
		}
	}
	admin.AddCommand(slices.DeleteFunc(slices.Clone(commands), beside)...)
	root.AddGroup(&cobra.Group{ID: GroupDeployment, Title: "Deployment:"})
	root.AddCommand(admin)
}

// usageTemplate returns cobra's template with the environment and the exit
// codes below the root command's help.
func usageTemplate(cobras string) string {
	return strings.TrimRight(cobras, "\n") + "{{if not .HasParent}}\n" + rootTail + "{{end}}\n"
}

func usageError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; see \"%s --help\"", err, cmd.CommandPath())
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// knownCommand refuses the arguments of a command that has none, only commands
// below it.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := ""
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		meant = fmt.Sprintf("; did you mean %q?", similar[0])
	}
	return usageError(cmd, fmt.Errorf("there is no command %.64q%s", args[0], meant))
}

// oneBatch accepts exactly one argument, a batch's id.
func oneBatch(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError(cmd, fmt.Errorf("one batch at a time: %d were given", len(args)))
	}
	return someBatches(cmd, args)
}

// someBatches accepts batches' ids, one at least.
func someBatches(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError(cmd, errors.New(`which batch? "musketry list" shows them`))
	}
	return plainIDs(cmd, args, "batch")
}

// plainIDs refuses what would be something else in a path.
func plainIDs(cmd *cobra.Command, args []string, of string) error {
	for _, id := range args {
		if id == "" || strings.ContainsAny(id, "/?#%") {
			return usageError(cmd, fmt.Errorf("%.64q is no %s's id", id, of))
		}
	}
	return nil
}
