// Package cloud starts, deploys to and ends a local cloud: an AWS-compatible engine on the user's own machine with the
// whole of Musketry on it, deployed by the same CDK app as on AWS.
//
// It knows engines, processes and the tools of a checkout. It must not know the domain, beyond how an API key is made:
// what it deploys is what the folders infra and lambdas hold. Everything it keeps lies in one state folder, and what it
// installs lies in the checkout's .tools folder.
package cloud
