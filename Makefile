# Everything that is installed lands in this checkout; versions are pinned here, in go.mod, in infra/package-lock.json and
# in the requirements files.
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

GOLANGCI_LINT := v2.15.0
GOVULNCHECK   := v1.9.0
GREMLINS      := v0.6.0

# The model that the demonstration asks: the stand-in takes 0.3 to 2 seconds for an answer, as its name says.
MODEL ?= standin:latency=300ms..2s

# The real clients that the end-to-end tests drive, what tries the API's document, and of the clients that others wrote
# (localstack/clients) those that are installed soon; ALL_CLIENTS are all of them.
LIGHT_CLIENTS := go-openai vercel openai-batch autobatcher instructor
ALL_CLIENTS   := $(LIGHT_CLIENTS) litellm any-llm batchwizard langasync openai-java async-openai azure litellm-proxy inspect-ai distilabel curator
CLIENTS := .tools/openai/.installed .tools/openai-1/.installed .tools/e2e-node/.installed .tools/chromium/.installed .tools/schemathesis/.installed \
	$(LIGHT_CLIENTS:%=.tools/clients/%/.installed)

BIN   := .tools/bin
CLOUD := $(BIN)/localstack
# One way of building for all our programs, so that they share what the compiler has cached.
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false
# Compiles everything for the local cloud in one go, so that the large packages do not wait for each other. Nothing is
# written but the cache: more than one command is not linked.
COMPILE = test -n "$$(ls .tools 2>/dev/null)" || echo "compiling everything, once: a minute or two"; \
	$(BUILD) ./localstack ./infra ./localstack/standin ./lambdas/...

.PHONY: help
help: ## Lists what there is.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "ENGINE=ministack|localstack|external chooses the local cloud; external takes AWS_ENDPOINT_URL."
	@echo "UPSTREAM_BASE_URL and UPSTREAM_API_KEY name a real provider instead of the stand-in; MODEL the demonstration's model."

.PHONY: demo
demo: need-cloud ## Starts a local cloud and runs a few hundred requests through it.
	@$(COMPILE) ./cmd/musketry ./examples/godoc ./tools/demo
	@$(MAKE) up
	@$(BUILD) -o $(BIN)/ ./cmd/musketry ./examples/godoc ./tools/demo
	@eval "$$($(CLOUD) env)" && $(BIN)/demo -bin $(BIN) -dir .cloud/demo -model '$(MODEL)'

.PHONY: up
up: need-cloud ## Starts the local cloud and deploys to it, or deploys what has changed.
	@$(COMPILE)
	@$(MAKE) cloud-cli
	@$(CLOUD) up

.PHONY: down
down: need-go ## Ends the local cloud; its data go with it.
	@$(BUILD) -o $(CLOUD) ./localstack || test -x $(CLOUD) # a tree that does not compile has its cloud still
	@$(CLOUD) down

.PHONY: env
env: need-go cloud-cli ## Prints the variables that lead a client to the local cloud.
	@$(CLOUD) env

# Runs tools/check with the clients that the end-to-end tests drive; in the shell's place, so that what make is told reaches it.
CHECK = $(BUILD) -o $(BIN)/check ./tools/check && exec env \
	MUSKETRY_E2E_PYTHON="$(CURDIR)/.tools/openai/bin/python" \
	MUSKETRY_E2E_PYTHON_1="$(CURDIR)/.tools/openai-1/bin/python" \
	MUSKETRY_E2E_NODE_MODULES="$(CURDIR)/.tools/e2e-node/node_modules" \
	MUSKETRY_E2E_CHROMIUM="$(CURDIR)/.tools/chromium/chromium" \
	MUSKETRY_E2E_SCHEMATHESIS="$(CURDIR)/.tools/schemathesis/bin/schemathesis" \
	MUSKETRY_E2E_CLIENTS="$(CURDIR)/.tools/clients" \
	$(BIN)/check -cloud $(CLOUD)

# The simulation (make sim), the race detector, the clouds and the clients are left out, and so is what go has cached.
.PHONY: check
check: need-go need-node $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## Runs the linters and the tests that need no cloud: seconds, but no simulation and no race detector.
	@$(BUILD) -o $(BIN)/check ./tools/check && exec $(BIN)/check -quick -lint $(BIN)/golangci-lint-$(GOLANGCI_LINT)

.PHONY: test
test: need-cloud cloud-cli $(BIN)/golangci-lint-$(GOLANGCI_LINT) $(BIN)/govulncheck-$(GOVULNCHECK) .tools/cfn-lint/.installed $(CLIENTS) ## Runs every check and test, on a local cloud: minutes.
	@$(CHECK) -lint $(BIN)/golangci-lint-$(GOLANGCI_LINT) -cfn-lint .tools/cfn-lint/bin/cfn-lint \
		-vuln $(BIN)/govulncheck-$(GOVULNCHECK)

.PHONY: test-localstack
test-localstack: need-cloud cloud-cli $(CLIENTS) ## Runs the stores' contracts and all end-to-end tests on LocalStack.
	@$(CHECK) -localstack

.PHONY: test-clients
test-clients: need-cloud need-clients cloud-cli $(ALL_CLIENTS:%=.tools/clients/%/.installed) ## Runs every client that others wrote, and writes docs/clients.md: the first time long.
	@$(CHECK) -clients
	@go run ./localstack/clients/page .

RUNS ?= 20
.PHONY: soak
soak: need-cloud cloud-cli ## Repeats the end-to-end tests of faults, a line a run, until one fails: make soak RUNS=20.
	@$(CHECK) -soak $(RUNS)

SEEDS ?= 5000
.PHONY: sim
sim: need-go ## Simulates the whole system with faults: make sim SEEDS=5000; SEED=7 replays one.
	@MUSKETRY_SIM_SEEDS=$(SEEDS) MUSKETRY_SIM_SEED=$(SEED) go test ./internal/sim -count=1 -v -timeout 60m -run '^TestSeeds$$'

.PHONY: sim-bugs
sim-bugs: need-go ## Plants bugs, one after another: the simulation must find each within 500 seeds.
	@MUSKETRY_SIM_BUGS=1 go test ./internal/sim -count=1 -v -timeout 60m -run '^TestPlantedBugs$$'

.PHONY: memory
memory: need-go ## Runs 250 calls with answers of 10 MB, and an attacker's lines, in a process with the function's memory: two minutes.
	@MUSKETRY_TEST_MEMORY_ANSWERS=250 go test ./lambdas/execute -count=1 -v -timeout 20m -run '^TestLargeAnswersKillNobody$$'

.PHONY: mutants
mutants: need-go $(BIN)/gremlins-$(GREMLINS) ## Plants mutants in the core's packages: their tests must notice. Hours; make mutants PACKAGES=execute.
	@$(BUILD) -o $(BIN)/mutants ./tools/mutants
	@$(BIN)/mutants -gremlins "$(CURDIR)/$(BIN)/gremlins-$(GREMLINS)" $(PACKAGES)

.PHONY: bench
bench: need-go ## Measures, a JSON object a line: make bench BENCH=budget; without it, all that need no local cloud.
	@$(BUILD) -o $(BIN)/bench ./tools/bench
	@$(BIN)/bench $(BENCH)

.PHONY: pictures
pictures: need-cloud .tools/e2e-node/.installed .tools/chromium/.installed ## Takes the README's pictures anew, from the running local cloud.
	@$(MAKE) up
	@$(BUILD) -o $(BIN)/ ./cmd/musketry ./tools/pictures
	@eval "$$($(CLOUD) env)" && $(BIN)/pictures -bin $(BIN) -browser "$(CURDIR)/.tools/chromium/chromium" -modules .tools/e2e-node/node_modules

.PHONY: lint
lint: need-go $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## Runs the linters.
	@$(BIN)/golangci-lint-$(GOLANGCI_LINT) run ./...

.PHONY: vuln
vuln: need-go $(BIN)/govulncheck-$(GOVULNCHECK) ## Looks for known vulnerabilities that the code can reach.
	@$(BIN)/govulncheck-$(GOVULNCHECK) ./...

.PHONY: fmt
fmt: need-go $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## Formats the code.
	@$(BIN)/golangci-lint-$(GOLANGCI_LINT) fmt ./...

.PHONY: build
build: need-go ## Builds the CLI, and the Lambdas for AWS, into build/.
	@$(BUILD) -o build/ ./cmd/musketry
	@for name in submit execute finalize; do \
		GOOS=linux GOARCH=arm64 $(BUILD) -tags lambda.norpc -ldflags "-s -w" \
			-o build/lambda/$$name/bootstrap ./lambdas/$$name || exit 1; \
	done

.PHONY: deploy
deploy: account build ## Deploys to the AWS account of your credentials; YES=1 asks nothing.
	@$(BIN)/account deploy

.PHONY: key
key: account ## Makes an API key on that account: make key TENANT=name.
	@test -n "$(TENANT)" || { echo "name a tenant: make key TENANT=name" >&2; exit 1; }
	@$(BIN)/account key "$(TENANT)"

.PHONY: destroy
destroy: account build ## Removes it from that account; the table and the bucket stay; YES=1 asks nothing.
	@$(BIN)/account destroy

# Nothing is built or changed before it is known whose account it is.
.PHONY: account
account: need-go need-node
	@$(BUILD) -o $(BIN)/ ./tools/account
	@$(BIN)/account check

.PHONY: cloud-cli
cloud-cli:
	@$(BUILD) -o $(CLOUD) ./localstack

# What the machine must have; each says in one line what is missing.
.PHONY: need-cloud need-go need-node need-python need-clients
need-cloud: need-go need-node need-python

need-go:
	@command -v go >/dev/null 2>&1 || { echo "missing: Go 1.26 or newer (https://go.dev/dl)" >&2; exit 1; }

need-node:
	@command -v npm >/dev/null 2>&1 && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' >/dev/null 2>&1 || \
		{ echo "missing: Node 20 or newer with npm (https://nodejs.org)" >&2; exit 1; }

need-python:
	@python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 || \
		{ echo "missing: Python 3.10 or newer with venv (Debian: python3-venv)" >&2; exit 1; }

need-clients:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "missing: Python 3.11 or newer" >&2; exit 1; }
	@command -v cargo >/dev/null 2>&1 || { echo "missing: Rust with cargo (https://rustup.rs)" >&2; exit 1; }
	@command -v mvn >/dev/null 2>&1 && command -v javac >/dev/null 2>&1 || \
		{ echo "missing: a JDK 17 or newer, and Maven (Debian: openjdk-17-jdk-headless maven)" >&2; exit 1; }

$(BIN)/golangci-lint-$(GOLANGCI_LINT):
	@echo "installing golangci-lint $(GOLANGCI_LINT), once: some minutes"
	@mkdir -p $(BIN)
	@GOBIN="$(CURDIR)/$(BIN)" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@mv $(BIN)/golangci-lint $@

$(BIN)/govulncheck-$(GOVULNCHECK):
	@mkdir -p $(BIN)
	@GOBIN="$(CURDIR)/$(BIN)" go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)
	@mv $(BIN)/govulncheck $@

$(BIN)/gremlins-$(GREMLINS):
	@mkdir -p $(BIN)
	@GOBIN="$(CURDIR)/$(BIN)" go install github.com/go-gremlins/gremlins/cmd/gremlins@$(GREMLINS)
	@mv $(BIN)/gremlins $@

.tools/cfn-lint/.installed: infra/requirements.txt
.tools/openai/.installed: localstack/e2e/requirements.txt
.tools/openai-1/.installed: localstack/e2e/requirements-1.txt
.tools/schemathesis/.installed: localstack/e2e/requirements-schemathesis.txt
PYTHON_CLIENTS := $(filter-out go-openai vercel openai-java async-openai,$(ALL_CLIENTS))
$(PYTHON_CLIENTS:%=.tools/clients/%/.installed): .tools/clients/%/.installed: localstack/clients/%/requirements.txt
.tools/%/.installed:
	@mkdir -p .tools/$*
	@python3 -m venv --clear .tools/$*
	@.tools/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

.tools/e2e-node/.installed: localstack/e2e/node/package-lock.json localstack/e2e/node/package.json
	@mkdir -p .tools/e2e-node
	@cp localstack/e2e/node/package.json localstack/e2e/node/package-lock.json localstack/e2e/node/.npmrc .tools/e2e-node/
	@cd .tools/e2e-node && npm ci --ignore-scripts --loglevel=error
	@touch $@

.tools/chromium/.installed: .tools/e2e-node/.installed localstack/e2e/node/chromium.mjs
	@node localstack/e2e/node/chromium.mjs .tools/e2e-node/node_modules .tools/chromium
	@mkdir -p .tools/chromium
	@touch $@

.tools/clients/vercel/.installed: localstack/clients/vercel/package-lock.json localstack/clients/vercel/package.json
	@mkdir -p $(@D)
	@cp localstack/clients/vercel/package.json localstack/clients/vercel/package-lock.json localstack/clients/vercel/.npmrc $(@D)/
	@cd $(@D) && npm ci --ignore-scripts --loglevel=error
	@touch $@

.tools/clients/go-openai/.installed: $(wildcard localstack/clients/go-openai/*)
	@mkdir -p $(@D)
	@cd localstack/clients/go-openai && go build -o "$(CURDIR)/$(@D)/client" .
	@touch $@

.tools/clients/async-openai/.installed: $(wildcard localstack/clients/async-openai/Cargo.* localstack/clients/async-openai/src/*)
	@mkdir -p $(@D)
	@cd localstack/clients/async-openai && CARGO_HOME="$(CURDIR)/$(@D)/cargo" CARGO_TARGET_DIR="$(CURDIR)/$(@D)/target" \
		cargo build --release --locked --quiet
	@cp $(@D)/target/release/client $(@D)/client
	@touch $@

.tools/clients/openai-java/.installed: localstack/clients/openai-java/pom.xml localstack/clients/openai-java/src/main/java/Client.java
	@mkdir -p $(@D)
	@cd localstack/clients/openai-java && mvn -q -B -C -Dmaven.repo.local="$(CURDIR)/$(@D)/repository" \
		dependency:copy-dependencies -DoutputDirectory="$(CURDIR)/$(@D)/lib"
	@javac -d $(@D)/classes -cp "$(@D)/lib/*" localstack/clients/openai-java/src/main/java/Client.java
	@touch $@
