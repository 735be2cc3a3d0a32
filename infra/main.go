// Command infra is the CDK app: one stack, the same for AWS and for a local cloud. What differs between two deployments
// comes in as CDK context (see stack.PropsFromContext), never as a branch on where it runs.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/infra/stack"
)

func main() {
	defer jsii.Close()
	app := awscdk.NewApp(nil)
	props, err := stack.PropsFromContext(app.Node())
	if err != nil {
		fmt.Fprintln(os.Stderr, "infra:", err)
		os.Exit(1) //nolint:gocritic // jsii.Close only ends a child process, which ends with this one
	}
	stack.NewMusketry(app, props.Name, props)
	app.Synth(nil)
}
