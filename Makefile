# The commands of this repository. `make` lists them.

.DEFAULT_GOAL := help
.PHONY: help run build test fmt lint test-unit deps doc bench bench-gates fuzz devnet chaos sim clean install

PREFIX ?= /usr/local
# The first of rustup's usual places, for a shell that has not read its profile.
export PATH := $(PATH):$(HOME)/.cargo/bin

help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: devnet ## Build and watch a network of four nodes on this machine; Ctrl-C stops it

build: ## Build target/release/keel
	@contrib/check-tools build
	cargo build --release

test: ## Run every check, with the time of each part at the end
	@contrib/check-tools test
	@tests/run

fmt: ## Format the source
	cargo fmt --all

lint: ## Formatting, clippy and the shape of the source
	@tests/run fmt clippy
	cargo test --quiet --test tidy

test-unit: ## The unit tests alone
	cargo test --lib

deps: ## Count the packages that the node is built from
	@tests/run deps

doc: ## Build the documentation of the source in target/doc
	cargo doc --no-deps --document-private-items

bench: ## Measure the parts of a node, each beside what limits it
	cargo bench --package keel-bench

bench-gates: ## Hold what is measured by counting against its bounds
	@tests/run growth

fuzz: ## Fuzz each target for 10 s, or for SECONDS_EACH
	@fuzz/run

devnet: build ## The same as run
	target/release/keel devnet --nodes 4

chaos: build ## Eight nodes for a minute, killed and paused: nothing accepted may be lost
	target/release/keel devnet --nodes 8 --tps 200 --duration 60s --json --chaos kill,pause

sim: build ## Twenty nodes that everything goes wrong for, once for each of SEEDS seeds
	target/release/keel sim swarm --seeds 1..$(or $(SEEDS),100)

install: build ## Install keel, its unit for systemd and how to operate it under $(PREFIX)
	install -D -m 755 target/release/keel $(DESTDIR)$(PREFIX)/bin/keel
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's#/usr/local/#$(PREFIX)/#g' contrib/keel.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/keel.service
	install -D -m 644 docs/operations.md $(DESTDIR)$(PREFIX)/share/doc/keel/operations.md

clean: ## Remove what was built
	cargo clean
