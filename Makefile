# drain-init: `make help` lists the targets. CI and the release workflow call these and
# those of packaging/release.mk, and nothing else.

CARGO ?= cargo
PREFIX ?= /usr
DESTDIR ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
# Packages are dated by the commit, not by the build.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
export CARGO VERSION SOURCE_DATE_EPOCH

# packaging/architectures is the list. amd64 and arm64, the first tier, are built and
# tested with every change; the others each week and for a release. TIER=1 leaves the
# second tier out of everything.
export TIER
FIRST_TIER := $(shell packaging/architectures --tier 1 name)
ALL_TIERS := $(shell packaging/architectures name)
NATIVE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,amd64)

.DEFAULT_GOAL := help
.PHONY: help
# Prints the lines below that begin with ##, and the targets that are followed by ##.
help:
	@sed -n 's/^## \(.*\)/\n\1/p; s/^\([a-z][a-z0-9-]*\):.*## /  \1\t/p' Makefile | expand -t 18

## Develop

.PHONY: build
build: toolchain ## build the static binaries for amd64 and arm64 into dist/; every architecture with ALL=1
	@packaging/binaries $(if $(ALL),$(ALL_TIERS),$(FIRST_TIER))

.PHONY: demo
demo: native ## a rolling deploy under load: dumb-init, tini, drain-init
	tests/e2e/demo

.PHONY: test
test: build ## every test, natively and under qemu; every architecture with ALL=1
	ALL=$(ALL) tests/run

.PHONY: test-vm
test-vm: toolchain ## the behaviour tests on a Debian kernel in an emulated machine (ARCH=arm64, KERNEL=bookworm)
	tests/vm

.PHONY: test-gvisor
test-gvisor: native ## the static binary as PID 1 of a gVisor sandbox
	tests/gvisor

.PHONY: check
check: ## format, clippy and the tests on this machine, in about a minute; builds and installs nothing else
	$(CARGO) fmt --check
	$(CARGO) clippy -q --locked --all-targets -- -D warnings
	$(CARGO) test -q --locked --no-fail-fast

.PHONY: lint
lint: toolchain ## rustfmt, clippy, shellcheck, and the checks of pages and workflows
	tests/lint

## Compare and measure

.PHONY: e2e
e2e: native ## deploy real servers under load; the whole table with FULL=1
	tests/e2e/e2e

.PHONY: e2e-kubernetes
e2e-kubernetes: native ## deploy on a real Kubernetes: CONTEXT=..., or KIND=1.37 for a cluster by kind; FULL=1 for docs/kubernetes.md
	$(if $(KIND),tests/e2e/cluster/kind $(KIND) --) tests/e2e/kubernetes

.PHONY: bench
bench: every-binary ## measure size, memory, start and forwarding of drain-init and other inits
	benches/run

.PHONY: compare
compare: native ## run each init, and COMMAND without one, in the same scenarios; writes docs/comparison.md
	tests/compare

## Package

.PHONY: dist
dist: every-binary deb apt rpm apk image wheel ## make all files of a release, with SBOMs and SHA256SUMS
	packaging/dist

.PHONY: packages-test
packages-test: dist ## install and run the packages with real package managers; all of them with FULL=1
	packaging/test/run

## Long runs

.PHONY: fuzz
fuzz: toolchain ## fuzz the parsers and the state machine; longer with FULL=1
	tests/fuzz-run

.PHONY: soak
soak: build ## an hour of random load as PID 1 (SECONDS_OF_SOAK=60 for a minute)
	tests/soak

.PHONY: newcomer
newcomer: toolchain ## build and test on a fresh Debian 12 and 13, 45 minutes each (RELEASES, PLACES, STEPS)
	tests/newcomer

## Install

# Debian's zsh looks in $(PREFIX)/share/zsh/vendor-completions, most others look here.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
INSTALLED := $(PREFIX)/bin/drain-init $(PREFIX)/share/man/man1/drain-init.1 \
	$(PREFIX)/share/bash-completion/completions/drain-init $(ZSH_COMPLETIONS)/_drain-init \
	$(PREFIX)/share/fish/vendor_completions.d/drain-init.fish

.PHONY: install
install: ## install what `make build` made into DESTDIR and PREFIX (default /usr)
	@test -f dist/drain-init-$(NATIVE) || { echo 'install: nothing is built: run make build first' >&2; exit 1; }
	install -D -m 0755 dist/drain-init-$(NATIVE) $(DESTDIR)$(PREFIX)/bin/drain-init
	install -D -m 0644 docs/drain-init.1 $(DESTDIR)$(PREFIX)/share/man/man1/drain-init.1
	install -D -m 0644 packaging/completions/drain-init.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/drain-init
	install -D -m 0644 packaging/completions/_drain-init $(DESTDIR)$(ZSH_COMPLETIONS)/_drain-init
	install -D -m 0644 packaging/completions/drain-init.fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/drain-init.fish

.PHONY: uninstall
uninstall: ## remove what `make install` installed (with the same DESTDIR and PREFIX)
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))

.PHONY: clean
clean: ## remove everything that was built
	rm -rf dist
	$(CARGO) clean -q

# Not listed by `make help`.
include packaging/release.mk
