package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/spf13/cobra"
)

const (
	// completeTimeout is how long a person who presses Tab waits for the server.
	completeTimeout = 2 * time.Second
	// mostOffered is how many of the newest batches are offered.
	mostOffered = 50
)

// shells returns the shells that completion knows, each with how it is set up.
func shells() [][2]string {
	return [][2]string{
		{"bash", `  source <(musketry completion bash)                     # this shell
  musketry completion bash > ~/.local/share/bash-completion/completions/musketry`},
		{"zsh", `  source <(musketry completion zsh)                      # this shell
  musketry completion zsh > "${fpath[1]}/_musketry"`},
		{"fish", `  musketry completion fish | source                      # this shell
  musketry completion fish > ~/.config/fish/completions/musketry.fish`},
		{"powershell", `  musketry completion powershell | Out-String | Invoke-Expression   # this shell; put it into $PROFILE for all`},
	}
}

func completionCommand() *cobra.Command {
	var names, setups []string
	for _, s := range shells() {
		names, setups = append(names, s[0]), append(setups, s[1])
	}
	return &cobra.Command{
		Use:   "completion " + strings.Join(names, "|"),
		Short: "Print a script by which a shell completes commands, flags and batches",
		Long: `Print a script by which a shell completes commands, flags and ids of batches. Those
are asked of the server: the newest ` + strconv.Itoa(mostOffered) + `, in two seconds at most.`,
		Example:               strings.Join(setups, "\n"),
		DisableFlagsInUseLine: true,
		ValidArgs:             names,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(names, args[0]) {
				return usageError(cmd, errors.New("name one shell: "+strings.Join(names, ", ")))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return root.GenPowerShellCompletionWithDesc(out)
		},
	}
}

// completeFiles offers files of these extensions for a command's one argument.
func completeFiles(extensions ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}

// completeFlag offers a flag's values.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	// The flag is there, and has no other completion.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeBatch offers batches for a command's first argument.
func (a *app) completeBatch(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeBatches(cmd, args, begun)
}

// completeBatches offers the newest batches that were not named yet.
func (a *app) completeBatches(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	page, err := c.batches.List(ctx, openai.BatchListParams{Limit: openai.Int(mostOffered)}, option.WithMaxRetries(0))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []cobra.Completion
	for _, b := range page.Data {
		if strings.HasPrefix(b.ID, begun) && !slices.Contains(args, b.ID) {
			v := &view{Batch: b}
			found = append(found, cobra.CompletionWithDesc(b.ID, string(b.Status)+", "+stamp(v.CreatedAt)))
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
