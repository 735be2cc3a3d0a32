package tenant_test

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

// A key is shown once. What is stored of it recognises it, and does not tell it.
func ExampleNewKey() {
	random := bytes.NewReader(bytes.Repeat([]byte{7}, 32)) // crypto/rand.Reader where it counts
	secret, stored, err := tenant.NewKey("acme", "alice's laptop", random, time.Date(2031, 5, 17, 12, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tenant.HasForm(secret), tenant.HasForm("sk-guess"))
	fmt.Println(stored.Tenant, stored.Hint == secret[len(secret)-4:], stored.Hash == tenant.Hash(secret))

	_, _, err = tenant.NewKey("Acme Inc.", "", random, time.Time{})
	fmt.Println(errors.Is(err, tenant.ErrName))

	// Output:
	// true false
	// acme true true
	// true
}
