package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/batch"
)

func (a *app) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel BATCH",
		Short: "Stop a batch and keep what it has done",
		Long: `Stop a batch. Calls in flight are given up; answers that are there already are
kept, and can be fetched with "musketry results" once the batch is cancelled.`,
		Example: `  musketry cancel batch_01…
  musketry cancel batch_01… && musketry watch batch_01…`,
		Args: oneBatch,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			b, err := c.batches.Cancel(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			v := &view{Batch: *b}
			if a.json {
				return v.printJSON(a.env.Stdout)
			}
			if err := write(a.env.Stdout, fmt.Sprintf("%s %s\n", v.ID, v.Status)); err != nil {
				return err
			}
			if v.status() == batch.StatusCanceling {
				a.note("See it end with: musketry watch %s", v.ID)
			}
			return nil
		},
	}
}
