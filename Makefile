# Everything that CI runs is a target here. `make check` is what to run before a pull request.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:

NAME    := packer-plugin-ssm
BIN     := dist/$(NAME)
TOOLS   := .cache/bin
# Built as the release that it will be: packer init passes over an installed plugin whose version has a suffix.
LDFLAGS := -s -w -X github.com/taccoform/packer-plugin-ssm/version.prerelease=
FUZZTIME ?= 300000x

# What stands on its own and is used by the targets below; see tools/.
PACKER   := $(TOOLS)/packer
AWSCLIENT := $(TOOLS)/session-manager-plugin
PEER     := $(TOOLS)/packer-plugin-amazon
MACHINE  := $(TOOLS)/localaws-machine
LINT     := $(TOOLS)/golangci-lint
SDC      := $(TOOLS)/packer-sdc

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

## Building

.PHONY: build
build: ## Build the plugin, static and stripped, into dist/.
	CGO_ENABLED=0 go build -trimpath -ldflags='$(LDFLAGS)' -o $(BIN) .

.PHONY: install-dev
install-dev: build $(PACKER) ## Install the plugin where your own Packer finds it.
	$$(command -v packer || echo $(PACKER)) plugins install --path $(BIN) github.com/taccoform/ssm

.PHONY: tools
tools: $(PACKER) $(AWSCLIENT) $(PEER) ## Build Packer, its amazon plugin and AWS's session-manager-plugin from their Go modules.

$(PACKER): tools/packer/go.mod tools/packer/go.sum
	@tools/build packer github.com/hashicorp/packer $@

$(AWSCLIENT): tools/session-manager-plugin/go.mod tools/session-manager-plugin/go.sum
	@tools/build session-manager-plugin github.com/aws/session-manager-plugin/src/sessionmanagerplugin-main $@

$(PEER): tools/packer-plugin-amazon/go.mod tools/packer-plugin-amazon/go.sum
	@tools/build packer-plugin-amazon github.com/hashicorp/packer-plugin-amazon $@

$(LINT): tools/lint/go.mod tools/lint/go.sum
	@tools/build lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint $@

$(SDC): go.mod go.sum
	@tools/build . github.com/hashicorp/packer-plugin-sdk/cmd/packer-sdc $@

## Generated files

.PHONY: generate
generate: $(SDC) ## Write the HCL specs, docs-partials/ and .web-docs/ again.
	@tools/generate $(abspath $(SDC))

.PHONY: generate-check
generate-check: ## Fail when a generated file is not what `make generate` writes.
	@tools/unchanged 'make generate' '*.hcl2spec.go' docs-partials .web-docs

.PHONY: tidy-check
tidy-check: ## Fail when go.mod or go.sum is not what `go mod tidy` writes.
	go mod tidy -diff

## Checks

.PHONY: fmt
fmt: ## Format the Go code and the templates.
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')
	$(MAKE) --no-print-directory $(PACKER)
	$(PACKER) fmt -recursive example

.PHONY: fmt-check
fmt-check: $(PACKER) ## Fail on an unformatted file.
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi
	$(PACKER) fmt -check -recursive example

.PHONY: vet
vet: ## go vet for each system that the plugin is released for.
	for os in linux darwin windows; do echo "go vet ./... ($$os)"; CGO_ENABLED=0 GOOS=$$os go vet ./...; done

.PHONY: lint
lint: $(LINT) ## Run the linters of .golangci.yml.
	$(LINT) run ./...
	@if command -v shellcheck >/dev/null; then shellcheck $$(grep -lE '^#!.*sh$$' tools/* .ci/run 2>/dev/null); \
	else echo "shellcheck is not installed: the shell scripts are not linted"; fi

## Tests

.PHONY: prereqs
prereqs: ## Install what the simulated instances need from the system (openssh-server, uidmap, sudo).
	@tools/prereqs

.PHONY: prereqs-test
prereqs-test: ## The same, and the AWS CLI, which only tests need.
	@tools/prereqs test

.PHONY: test
test: prereqs-test tools build ## Run all tests with the race detector.
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $(MACHINE) ./internal/localaws/machine/helper
	LOCALAWS_MACHINE=$(abspath $(MACHINE)) go test -race -p 2 -timeout 20m ./...

.PHONY: fuzz
fuzz: ## Fuzz each target with FUZZTIME (300000x) inputs, or for a time such as 1m.
	@tools/fuzz $(FUZZTIME)

.PHONY: check
check: fmt-check vet lint generate-check tidy-check test fuzz ## All of the above: what a pull request must pass.

.PHONY: demo
demo: prereqs build $(PACKER) ## Build example/basic with real Packer on a simulated AWS and look inside the AMI.
	@go run ./internal/demo

## Measuring

# How long make soak works: make soak SOAK=120s
SOAK ?= 1h

.PHONY: bench
bench: prereqs $(AWSCLIENT) ## Measure against AWS's own client, side by side, into bench/results.json.
	go run ./internal/bench

.PHONY: soak
soak: prereqs ## Work through an hour (SOAK) of faults, checking every byte.
	go run ./internal/soak -for $(SOAK)

.PHONY: clean
clean: ## Remove what the targets above have built.
	rm -rf dist .cache
