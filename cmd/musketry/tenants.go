package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/tenant"
)

// A tenantStore knows tenants' keys, and what they have.
type tenantStore interface {
	// Keys returns a tenant's keys, or every tenant's if tenantName is empty.
	Keys(ctx context.Context, tenantName string) ([]tenant.Key, error)
	// UpdateQuota writes what change changes, if anything.
	UpdateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota) error) (tenant.Quota, error)
}

// tenants is what "admin tenants" works with.
type tenants struct {
	stack string // MUSKETRY_STACK, or --stack
	open  func(ctx context.Context, stack string) (tenantStore, boot.Settings, error)
	now   func() time.Time
}

// openTenants returns a deployment's tenants, and the settings of its API.
func openTenants(open func(ctx context.Context, stack string) (*deployed, error)) func(context.Context, string) (tenantStore, boot.Settings, error) {
	return func(ctx context.Context, stack string) (tenantStore, boot.Settings, error) {
		site, err := open(ctx, stack)
		if err != nil {
			return nil, boot.Settings{}, err
		}
		if site.submit == nil {
			return nil, boot.Settings{}, fmt.Errorf("what the stack %s limits is not known: %w", stack,
				cmp.Or(site.problem, errors.New("it has no function that takes orders")))
		}
		return site.store, site.submit.Settings, nil
	}
}

// command returns "tenants", with the command to list them.
func (t *tenants) command() *cobra.Command {
	all := &cobra.Command{
		Use:   "tenants",
		Short: "List tenants, their keys, and what of their limits is in use",
		Long: "List tenants, their keys, and what of their limits is in use, with your own AWS credentials.\n" +
			"A tenant is there as soon as it has a key; each has the limits of the deployment.",
		Example: "  musketry admin tenants list\n  musketry admin tenants list --stack Musketry-eu --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	all.PersistentFlags().StringVar(&t.stack, "stack", cmp.Or(t.stack, defaultStack),
		"the deployment's CloudFormation stack (default: $MUSKETRY_STACK, or "+defaultStack+")")
	all.PersistentFlags().Lookup("stack").DefValue = ""
	all.AddCommand(&cobra.Command{
		Use:     "list",
		Short:   "List tenants, and the limits that each of them has",
		Example: "  musketry admin tenants list\n  musketry admin tenants list --json | jq -r 'select(.keys == 0).tenant'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), adminPatience)
			defer cancel()
			store, settings, err := t.open(ctx, t.stack)
			if err != nil {
				return err
			}
			found, err := list(ctx, store, settings, t.now())
			if err != nil {
				return permitted(err, "dynamodb:Query and GetItem on the deployment's tables")
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return printLines(cmd.OutOrStdout(), found)
			}
			if len(found) == 0 {
				cmd.PrintErrln(`There are no tenants: "musketry admin keys create" makes the first.`)
				return nil
			}
			return printTenants(cmd.OutOrStdout(), found)
		},
	})
	return all
}

// A tenantRow is what the list has of a tenant. Nil of what is in use is not
// counted, since nothing limits it; nil of a limit is none.
type tenantRow struct {
	Tenant string       `json:"tenant"`
	Keys   int          `json:"keys"`
	Ended  int          `json:"ended_keys"` // revoked or expired
	Newest time.Time    `json:"newest_key_at"`
	InUse  tenantCounts `json:"in_use"`
	Limits tenantCounts `json:"limits"`
}

type tenantCounts struct {
	Batches     *int64 `json:"batches"`
	Requests    *int64 `json:"requests"`
	StoredBytes *int64 `json:"stored_bytes"`
}

// list returns all tenants, by their names.
func list(ctx context.Context, store tenantStore, s boot.Settings, now time.Time) ([]tenantRow, error) {
	keys, err := store.Keys(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	limits := tenant.Limits{
		Batches: s.TenantBatches, Requests: s.TenantRequests, Bytes: s.TenantBytes, Uploads: s.TenantUploads, Creates: s.TenantCreates,
	}
	rows := map[string]*tenantRow{}
	for _, k := range keys {
		row := rows[k.Tenant]
		if row == nil {
			row = &tenantRow{Tenant: k.Tenant, Limits: tenantCounts{
				Batches: orNone(int64(limits.Batches)), Requests: orNone(int64(limits.Requests)), StoredBytes: orNone(limits.Bytes),
			}}
			rows[k.Tenant] = row
		}
		if k.RevokedAt.IsZero() && !k.Expired(now) {
			row.Keys++
		} else {
			row.Ended++
		}
		if k.CreatedAt.After(row.Newest) {
			row.Newest = k.CreatedAt.UTC()
		}
	}
	found := make([]tenantRow, 0, len(rows))
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		row := rows[name]
		if row.InUse, err = inUse(ctx, store, name, limits); err != nil {
			return nil, err
		}
		found = append(found, *row)
	}
	return found, nil
}

// inUse returns what a tenant has, as its limits count it.
func inUse(ctx context.Context, store tenantStore, name string, l tenant.Limits) (tenantCounts, error) {
	if l.None() {
		return tenantCounts{}, nil
	}
	// What changes nothing reads.
	q, err := store.UpdateQuota(ctx, name, func(*tenant.Quota) error { return nil })
	if err != nil {
		return tenantCounts{}, fmt.Errorf("read what %s has: %w", name, err)
	}
	batches, requests := int64(len(q.Batches)), int64(q.Requests())
	c := tenantCounts{Batches: &batches, Requests: &requests}
	if stored := q.Stored(); l.Bytes > 0 && q.Counted() {
		c.StoredBytes = &stored
	}
	return c, nil
}

// printLines writes each of some values as JSON, on a line of its own.
func printLines[T any](out io.Writer, values []T) error {
	lines := json.NewEncoder(out)
	for _, v := range values {
		if err := lines.Encode(v); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
	}
	return nil
}

// orNone returns a limit, nil if it is none.
func orNone(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

func printTenants(out io.Writer, rows []tenantRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TENANT\tKEYS\tENDED\tNEWEST KEY\tBATCHES\tREQUESTS\tSTORED BYTES") // Flush tells
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\t%s\n", r.Tenant, r.Keys, r.Ended, r.Newest.Format(time.RFC3339),
			ofLimit(r.InUse.Batches, r.Limits.Batches), ofLimit(r.InUse.Requests, r.Limits.Requests),
			ofLimit(r.InUse.StoredBytes, r.Limits.StoredBytes))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// ofLimit returns what is in use of a limit.
func ofLimit(n, limit *int64) string {
	text := "-"
	if n != nil {
		text = strconv.FormatInt(*n, 10)
	}
	if limit != nil {
		text += " of " + strconv.FormatInt(*limit, 10)
	}
	return text
}
