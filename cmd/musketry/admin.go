package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/tenant"
)

const (
	// adminPatience bounds one admin command: a few calls to DynamoDB.
	adminPatience = time.Minute
	// credentialsPatience bounds the search for credentials, whose last place is
	// a network address that may not answer.
	credentialsPatience = 10 * time.Second
	// leastHash is how much of a hash names a key.
	leastHash = 8
	// maxKeyName is how many characters a key's name has at most.
	maxKeyName = 64
	// maxKeyDays bounds a key's life where it is given in days: ten years.
	maxKeyDays = 3660
	// shownHash is how much of a hash a list shows.
	shownHash = 12
)

// A keyStore keeps API keys.
type keyStore interface {
	// Keys returns a tenant's keys, or every tenant's if tenantName is empty.
	Keys(ctx context.Context, tenantName string) ([]tenant.Key, error)
	PutKey(ctx context.Context, k tenant.Key) error
	// KeyUses returns on which day each of a tenant's keys was last used.
	KeyUses(ctx context.Context, tenantName string) ([]tenant.KeyUse, error)
}

// An adminStore keeps what admin commands write.
type adminStore interface {
	keyStore
	modelStore
	actStore
}

// An actStore keeps what owners of the deployment did.
type actStore interface {
	PutAct(ctx context.Context, act tenant.Act) error
	// Acts returns a page, newest first, and whether there are more.
	Acts(ctx context.Context, before time.Time, limit int) ([]tenant.Act, bool, error)
}

// A modelStore keeps models.
type modelStore interface {
	Models(ctx context.Context) ([]route.Model, error)
	// PutModel returns route.ErrConflict if the stored revision is not m's.
	PutModel(ctx context.Context, m route.Model) error
	// DeleteModel returns route.ErrConflict, and route.ErrNotFound.
	DeleteModel(ctx context.Context, pattern string, revision int64) error
}

var _ adminStore = (*dynamostore.Store)(nil)

// An admin is what the commands for a deployment's owner work with.
type admin struct {
	table  string // MUSKETRY_ADMIN_TABLE, or --table
	main   string // MUSKETRY_TABLE, or --main-table; may be empty
	open   func(ctx context.Context, table, main string) (adminStore, error)
	who    func(ctx context.Context) (string, error) // the caller's ARN
	now    func() time.Time
	random io.Reader
}

// keysCommand returns "keys", with the commands to make, list and revoke them.
func (a *admin) keysCommand() *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and revoke API keys",
		Long: "Make, list and revoke API keys, in the deployment's DynamoDB table and with your own AWS\n" +
			"credentials. Only a key's hash is kept: the key itself is shown once.",
		Example: `  musketry admin keys create --table Musketry-AdminTable… --tenant acme --name ci
  musketry admin keys create --tenant acme --name "status board" --read-only --expires 90d
  musketry admin keys list --tenant acme
  musketry admin keys revoke Jx3k`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.tableFlag(keys)
	keys.AddCommand(a.createCommand(), a.listCommand(), a.revokeCommand())
	return keys
}

func (a *admin) createCommand() *cobra.Command {
	var (
		owner, name, expires string
		readOnly             bool
	)
	cmd := &cobra.Command{
		Use:   "create --tenant NAME",
		Short: "Make a key and show it, once",
		Long: "Make a key and show it, once. A key with an end is refused from then on, with 401\n" +
			"expired_api_key; a read-only one may list, watch and download, and is refused with 403\n" +
			"read_only_api_key by every call that changes something.",
		Example: `  musketry admin keys create --tenant acme --name ci --expires 90d
  musketry admin keys create --tenant acme --name "status board" --read-only --expires 2027-12-31`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			secret, key, err := tenant.NewKey(owner, name, a.random, a.now())
			if err != nil {
				return fmt.Errorf("--tenant: %w", err)
			}
			if utf8.RuneCountInString(name) > maxKeyName {
				return fmt.Errorf("--name: at most %d characters", maxKeyName)
			}
			key.ReadOnly = readOnly
			if key.ExpiresAt, err = endOf(expires, a.now()); err != nil {
				return fmt.Errorf("--expires: %w", err)
			}
			return a.with(cmd.Context(), func(ctx context.Context, store adminStore) error {
				err := a.do(ctx, cmd, store, keyAct("keys create", key), func() error { return store.PutKey(ctx, key) })
				if err != nil {
					return fmt.Errorf("keep the key: %w", err)
				}
				cmd.PrintErrf("A key of tenant %s, hash %.*s…%s. It is shown only now:\n", key.Tenant, shownHash, key.Hash, terms(key))
				_, err = fmt.Fprintln(cmd.OutOrStdout(), secret)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&owner, "tenant", "", "whose key it is: 1 to 64 lower-case letters, digits and hyphens")
	cmd.Flags().StringVar(&name, "name", "", "a name to know it by, such as ci; at most 64 characters")
	cmd.Flags().StringVar(&expires, "expires", "", "when it ends: in so many days, such as 90d, or after a day in UTC, such as 2027-12-31 (default: never)")
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "it may change nothing")
	_ = cmd.MarkFlagRequired("tenant") // the flag is there
	return cmd
}

func (a *admin) listCommand() *cobra.Command {
	var owner string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List keys: never themselves, but their last characters",
		Long: "List keys: never themselves, but their last characters. On which day each was last used\n" +
			"(USED, in UTC; - is not within the last 400 days) stands in the deployment's main table:\n" +
			"without --main-table it is not known.",
		Example: `  musketry admin keys list --tenant acme
  musketry admin keys list --json | jq -r 'select(.revoked_at == null).hint'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, store adminStore) error {
				keys, err := store.Keys(ctx, owner)
				if err != nil {
					return fmt.Errorf("list keys: %w", err)
				}
				return a.showKeys(ctx, cmd, store, keys)
			})
		},
	}
	cmd.Flags().StringVar(&owner, "tenant", "", "only this tenant's")
	cmd.Flags().StringVar(&a.main, "main-table", a.main, "the deployment's main DynamoDB table, TableName of its outputs (default: $"+boot.EnvTable+")")
	cmd.Flags().Lookup("main-table").DefValue = ""
	return cmd
}

// showKeys lists keys, with the days on which they were last used where those are known.
func (a *admin) showKeys(ctx context.Context, cmd *cobra.Command, store adminStore, keys []tenant.Key) error {
	asJSON, _ := cmd.Flags().GetBool("json")
	if len(keys) == 0 {
		if !asJSON {
			cmd.PrintErrln("There are no keys.")
		}
		return nil
	}
	var days map[string]time.Time
	if a.main == "" {
		cmd.PrintErrf("When keys were last used stands in the deployment's main table: name it with --main-table or %s.\n", boot.EnvTable)
	} else {
		var err error
		if days, err = lastUses(ctx, store, keys); err != nil {
			return fmt.Errorf("read when keys were last used, from the table %s (--main-table): %w", a.main, err)
		}
	}
	if asJSON {
		return printLines(cmd.OutOrStdout(), keyRows(keys, days))
	}
	return printKeys(cmd.OutOrStdout(), keys, days)
}

func (a *admin) revokeCommand() *cobra.Command {
	var owner string
	cmd := &cobra.Command{
		Use:     "revoke HASH|HINT",
		Example: "  musketry admin keys revoke Jx3k\n  musketry admin keys revoke 5f0c1d2e --tenant acme",
		Short:   "Revoke a key, named by its hash's beginning or by its last four characters",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, store adminStore) error {
				keys, err := store.Keys(ctx, owner)
				if err != nil {
					return fmt.Errorf("list keys: %w", err)
				}
				key, err := find(keys, args[0])
				if err != nil {
					return err
				}
				key.RevokedAt = a.now()
				err = a.do(ctx, cmd, store, keyAct("keys revoke", key), func() error { return store.PutKey(ctx, key) })
				if err != nil {
					return fmt.Errorf("revoke the key: %w", err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "Revoked key %.*s… (…%s) of tenant %s. It is refused within 60 seconds.\n",
					shownHash, key.Hash, key.Hint, key.Tenant)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&owner, "tenant", "", "look among this tenant's only")
	return cmd
}

// with calls f with the deployment's store and explains its error.
func (a *admin) with(ctx context.Context, f func(ctx context.Context, store adminStore) error) error {
	ctx, cancel := context.WithTimeout(ctx, adminPatience)
	defer cancel()
	if a.table == "" {
		return fmt.Errorf("which deployment? Name its DynamoDB table of keys and models with --table or %s; it is AdminTableName of the outputs of \"make deploy\"",
			boot.EnvAdminTable)
	}
	store, err := a.open(ctx, a.table, a.main)
	if err == nil {
		err = f(ctx, store)
	}
	return explain(err, a.table)
}

// find returns the one key in force that word names.
func find(keys []tenant.Key, word string) (tenant.Key, error) {
	var found []tenant.Key
	revoked := false
	for _, k := range keys {
		switch {
		case k.Hint != word && (len(word) < leastHash || !strings.HasPrefix(k.Hash, strings.ToLower(word))):
		case k.RevokedAt.IsZero():
			found = append(found, k)
		default:
			revoked = true
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return tenant.Key{}, fmt.Errorf("%d keys are named %.64q: name one by %d or more characters of its hash, as in the list",
			len(found), word, leastHash)
	case revoked:
		return tenant.Key{}, fmt.Errorf("the key named %.64q was revoked before", word)
	}
	return tenant.Key{}, fmt.Errorf("no key is named %.64q: give its last four characters or %d or more of its hash, as in the list",
		word, leastHash)
}

// lastUses returns the day of each key's last use by its hash, where there was one.
func lastUses(ctx context.Context, store adminStore, keys []tenant.Key) (map[string]time.Time, error) {
	days, seen := map[string]time.Time{}, map[string]bool{}
	for _, k := range keys {
		if seen[k.Tenant] {
			continue
		}
		seen[k.Tenant] = true
		uses, err := store.KeyUses(ctx, k.Tenant)
		if err != nil {
			return nil, fmt.Errorf("keys of %s: %w", k.Tenant, err)
		}
		for _, u := range uses {
			days[u.Hash] = u.Day
		}
	}
	return days, nil
}

// printKeys prints keys, and the days of their last uses; nil: nobody knows.
// A keyRow is what the list has of a key.
type keyRow struct {
	Tenant    string     `json:"tenant"`
	Name      string     `json:"name"`
	Hash      string     `json:"hash"` // its beginning, by which it can be revoked
	Hint      string     `json:"hint"`
	ReadOnly  bool       `json:"read_only"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	LastUsed  *string    `json:"last_used"` // a day; null: not lately, or not known
}

// keyRows returns what the list has of keys, of which some were used on days.
func keyRows(keys []tenant.Key, days map[string]time.Time) []keyRow {
	orNull := func(at time.Time) *time.Time {
		if at.IsZero() {
			return nil
		}
		return new(at.UTC())
	}
	rows := make([]keyRow, len(keys))
	for i, k := range keys {
		rows[i] = keyRow{
			Tenant: k.Tenant, Name: k.Name, Hash: k.Hash[:min(shownHash, len(k.Hash))], Hint: k.Hint, ReadOnly: k.ReadOnly,
			CreatedAt: k.CreatedAt.UTC(), ExpiresAt: orNull(k.ExpiresAt), RevokedAt: orNull(k.RevokedAt),
		}
		if day, ok := days[k.Hash]; ok {
			rows[i].LastUsed = new(day.Format(time.DateOnly))
		}
	}
	return rows
}

func printKeys(out io.Writer, keys []tenant.Key, days map[string]time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TENANT\tNAME\tHASH\tHINT\tACCESS\tCREATED\tEXPIRES\tUSED\tREVOKED") // Flush tells
	for _, k := range keys {
		access, used := "full", "?"
		if k.ReadOnly {
			access = "read-only"
		}
		if days != nil {
			used = "-"
		}
		if day, ok := days[k.Hash]; ok {
			used = day.Format(time.DateOnly)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.*s\t…%s\t%s\t%s\t%s\t%s\t%s\n", k.Tenant, nameOf(k), shownHash, k.Hash, k.Hint,
			access, moment(k.CreatedAt), moment(k.ExpiresAt), used, moment(k.RevokedAt))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// moment shows a time to the second in UTC; the zero time as a dash.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// terms says what a key is besides a key.
func terms(k tenant.Key) string {
	text := ""
	if k.ReadOnly {
		text += ", read-only"
	}
	if !k.ExpiresAt.IsZero() {
		text += ", expires " + moment(k.ExpiresAt)
	}
	return text
}

// endOf reads when a key ends: so many days after now, or with a day in UTC. Empty is
// never, as the zero time.
func endOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	days, isDays := strings.CutSuffix(text, "d")
	n, err := strconv.Atoi(days)
	if isDays && err == nil && n > 0 && n <= maxKeyDays {
		return now.UTC().Truncate(time.Millisecond).AddDate(0, 0, n), nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.64q is neither 1 to %d days, such as 90d, nor a day, such as 2027-12-31", text, maxKeyDays)
	}
	end := day.AddDate(0, 0, 1)
	if !now.Before(end) {
		return time.Time{}, fmt.Errorf("%s is over: a key that ends in the past opens nothing", text)
	}
	return end, nil
}

func nameOf(k tenant.Key) string {
	if k.Name == "" {
		return "-"
	}
	return fmt.Sprintf("%.64q", k.Name) // quoted: what was typed cannot move the cursor
}

// operator returns the environment's AWS configuration, with a region and
// credentials that are there.
func operator(ctx context.Context) (aws.Config, error) {
	cfg, err := boot.AWS(ctx)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no AWS region: set AWS_REGION, or one in your profile")
	}
	return cfg, signedIn(ctx, cfg)
}

// openStore returns the store in a deployment's tables that the environment's AWS
// credentials lead to; of the main one's name nothing is asked.
func openStore(now func() time.Time) func(ctx context.Context, table, main string) (adminStore, error) {
	return func(ctx context.Context, table, main string) (adminStore, error) {
		cfg, err := operator(ctx)
		if err != nil {
			return nil, err
		}
		store, err := dynamostore.New(dynamostore.NewClient(cfg), dynamostore.Config{Table: cmp.Or(main, table), Admin: table, Now: now})
		if err != nil {
			return nil, fmt.Errorf("--table: %w", err)
		}
		return store, nil
	}
}

// callerARN returns whose the environment's AWS credentials are. No policy can forbid
// the question (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html).
func callerARN(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, credentialsPatience)
	defer cancel()
	cfg, err := operator(ctx)
	if err != nil {
		return "", err
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("ask AWS whose the credentials are (sts:GetCallerIdentity): %w", err)
	}
	return aws.ToString(who.Arn), nil
}

func signedIn(ctx context.Context, cfg aws.Config) error {
	ctx, cancel := context.WithTimeout(ctx, credentialsPatience)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("no AWS credentials: set AWS_PROFILE, or sign in: %w", err)
	}
	return nil
}

// explain says of an error of AWS what it means for whoever runs a command.
func explain(err error, table string) error {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.ErrorCode() {
	case "ResourceNotFoundException":
		return fmt.Errorf("there is no table %s in this account and region (AWS_PROFILE, AWS_REGION): %w", table, err)
	case "AccessDeniedException", "UnauthorizedOperation":
		return fmt.Errorf("your AWS credentials lack the rights; they need dynamodb:Query, GetItem and PutItem on table %s, and DeleteItem to remove a model: %w",
			table, err)
	case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "MissingAuthenticationTokenException":
		return fmt.Errorf("AWS does not take your credentials: sign in again: %w", err)
	}
	return err
}
