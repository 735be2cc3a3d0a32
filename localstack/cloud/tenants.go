package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/tenant"
	"github.com/musketry/musketry/tools/checkout"
	"github.com/musketry/musketry/tools/wait"
)

// healthPatience bounds the wait for the API's first answer after a deployment.
const healthPatience = 60 * time.Second

// A tenantKey is a tenant of this cloud. The key itself lies only in the state folder, for the user alone to read.
type tenantKey struct {
	Secret string     `json:"secret"`
	Key    tenant.Key `json:"key"`
}

// tenants gives the two tenants of this cloud, made at the first time.
func (c *Cloud) tenants() ([]tenantKey, error) {
	path := c.path("tenants.json")
	var known []tenantKey
	data, err := os.ReadFile(path)
	if err == nil && json.Unmarshal(data, &known) == nil && len(known) > 0 {
		return known, nil
	}
	known = nil
	for _, name := range []string{"first", "second"} {
		secret, key, err := tenant.NewKey(name, "make up", c.cfg.Random, c.cfg.Now())
		if err != nil {
			return nil, fmt.Errorf("make tenant %s: %w", name, err)
		}
		known = append(known, tenantKey{Secret: secret, Key: key})
	}
	//nolint:gosec // this file is where the user's own keys are kept, for the user alone to read
	if data, err = json.MarshalIndent(known, "", "  "); err != nil {
		return nil, err
	}
	return known, checkout.WriteFile(path, data)
}

// healthy waits until the API answers a tenant.
func (c *Cloud) healthy(ctx context.Context, baseURL, key string) error {
	var last string
	asked := func() (bool, error) {
		status, err := get(ctx, baseURL+"/batches?limit=1", key, firstTimeout)
		last = fmt.Sprintf("status %d, %v", status, err)
		return err == nil && status == http.StatusOK, nil
	}
	if err := wait.Until(ctx, healthPatience, asked); err != nil {
		return fmt.Errorf("the API does not answer (%s; the engine's log is %s): %w", last, c.process("engine").log(), err)
	}
	return nil
}

// A Variable is one variable of the environment that leads a program to this cloud.
type Variable struct{ Name, Value string }

// Environment gives what `make env` prints. Returns ErrNotUp if no cloud is up.
func (c *Cloud) Environment(ctx context.Context) ([]Variable, error) {
	st, err := c.running(ctx)
	if err != nil {
		return nil, err
	}
	tenants, err := c.tenants()
	if err != nil {
		return nil, err
	}
	keys := c.credentials()
	return []Variable{
		{"OPENAI_BASE_URL", st.BaseURL},
		{"OPENAI_API_KEY", tenants[0].Secret},
		{"OPENAI_API_KEY_2", tenants[1].Secret},
		{"AWS_ENDPOINT_URL", st.Endpoint},
		{"AWS_REGION", region},
		{"AWS_ACCESS_KEY_ID", keys.id},
		{"AWS_SECRET_ACCESS_KEY", keys.secret},
		{boot.EnvTable, st.Outputs[outputs.Table]},
		{boot.EnvAdminTable, st.Outputs[outputs.AdminTable]},
		{boot.EnvBucket, st.Outputs[outputs.Bucket]},
		{boot.EnvQueueURL, st.Outputs[outputs.QueueURL]},
		{boot.EnvDeadLettersURL, st.Outputs[outputs.DeadLetters]},
		{boot.EnvFlowARN, st.Outputs[outputs.FlowARN]},
		{boot.EnvUpstreamBaseURL, st.Upstream},
		{"STANDIN_URL", st.StandIn},
	}, nil
}
