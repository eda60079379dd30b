# drain-init: the one entrance. `make help` lists every target; CI and the
# release workflow call these and nothing else.

CARGO ?= cargo
PREFIX ?= /usr
DESTDIR ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
TOOLCHAIN := $(shell sed -n 's/^channel = "\(.*\)"$$/\1/p' rust-toolchain.toml)
# Packages carry the commit's time, not the build's.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
export VERSION SOURCE_DATE_EPOCH

# The architectures, by packaging/architectures. Of the second tier are those that
# are built and tested for a release, not with every change; TIER=1 leaves them out.
export TIER
FIRST_TIER := $(shell packaging/architectures --tier 1 name)
SECOND_TIER := $(if $(filter 1,$(TIER)),,$(shell packaging/architectures --tier 2 name))
FIRST_TRIPLES := $(shell packaging/architectures --tier 1 triple)
NATIVE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,amd64)

# The standard library is built for size together with the program, which the
# pinned stable toolchain does when told to (RUSTC_BOOTSTRAP). The flags behind
# it save pages of memory in every container; packaging/README.md says what each
# one is worth.
BUILD_STD := -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
RELEASE_RUSTFLAGS := -Zunstable-options -Cpanic=immediate-abort -Cforce-unwind-tables=no \
	-Crelocation-model=static -Clink-arg=--no-rosegment -Clink-arg=-znorelro -Clink-arg=--icf=all \
	--remap-path-prefix=$(CURDIR)=/drain-init

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

# What a target needs besides is said and installed before the long build, too.
NEEDS :=
demo e2e e2e-kubernetes examples test test-all: NEEDS := python3=python3
.PHONY: toolchain
toolchain: ## add what the release build needs to the pinned toolchain
	@packaging/need $(NEEDS)
	@packaging/toolchain $(TOOLCHAIN) $(FIRST_TRIPLES)

.PHONY: build build-all
build: $(FIRST_TIER:%=dist/drain-init-%) ## build the static binaries of the first tier, amd64 and arm64, into dist/
build-all: build ## and those of the second
	$(if $(SECOND_TIER),@$(BUILD_BINARIES) $(SECOND_TIER))

.PHONY: $(FIRST_TIER:%=dist/drain-init-%) $(SECOND_TIER:%=dist/drain-init-%)
$(FIRST_TIER:%=dist/drain-init-%): dist/drain-init-%: toolchain
	@triple=$$(packaging/architectures --only $* triple) && \
		echo "building $@ for $$triple (the first time with its standard library: a minute or two)" && \
		RUSTC_BOOTSTRAP=1 RUSTFLAGS='$(RELEASE_RUSTFLAGS)' \
		$(CARGO) build -q --locked --release --bin drain-init --target $$triple $(BUILD_STD) && \
		install -D -m 0755 target/$$triple/release/drain-init $@

BUILD_BINARIES := CARGO='$(CARGO)' RELEASE_RUSTFLAGS='$(RELEASE_RUSTFLAGS)' BUILD_STD='$(BUILD_STD)' packaging/binaries
$(SECOND_TIER:%=dist/drain-init-%): dist/drain-init-%: toolchain
	@$(BUILD_BINARIES) $*

.PHONY: demo
demo: dist/drain-init-$(NATIVE) ## a rolling deploy under load: dumb-init, tini, drain-init (README's first command)
	tests/e2e/demo

.PHONY: test
test: build ## unit, behaviour and compliance tests, on this machine and under qemu (README's second command)
	tests/run

.PHONY: test-all
test-all: build-all ## and the behaviour and compliance tests on the architectures of the second tier
	ALL=1 tests/run

.PHONY: lint
lint: toolchain ## rustfmt, clippy, shellcheck and the checks of pages and workflows
	tests/lint

.PHONY: e2e
e2e: dist/drain-init-$(NATIVE) ## real servers deployed under load; the whole table with FULL=1
	tests/e2e/e2e

.PHONY: e2e-kubernetes
e2e-kubernetes: dist/drain-init-$(NATIVE) ## deploys on a real Kubernetes: CONTEXT=..., or KIND=1.37 for a cluster by kind; FULL=1 for docs/kubernetes.md
	$(if $(KIND),tests/e2e/cluster/kind $(KIND) --) tests/e2e/kubernetes

.PHONY: deb
deb: build-all ## the Debian packages
	packaging/deb/build

.PHONY: apt
apt: deb ## the apt repository, dist/apt
	packaging/apt/build

.PHONY: rpm
rpm: build-all ## the rpm packages
	packaging/nfpm/build rpm

.PHONY: apk
apk: build-all ## the packages for Alpine's apk
	packaging/nfpm/build apk

.PHONY: dnf
dnf: rpm ## the rpm repository, dist/rpm
	packaging/dnf/build

.PHONY: alpine
alpine: apk ## the repository for apk, dist/alpine
	packaging/alpine/build

.PHONY: image
image: build-all ## the multi-architecture OCI image
	packaging/image/build

.PHONY: dist
dist: build-all deb apt rpm dnf apk alpine image wheel ## everything that a release has, with SBOMs and SHA256SUMS
	packaging/dist

.PHONY: packages-test
packages-test: dist ## install and run the packages with real clients; all of them with FULL=1
	packaging/test/run

.PHONY: alpine-test
alpine-test: alpine ## install from dist/alpine in Alpine, in a container from Docker Hub
	packaging/test/alpine/run

.PHONY: examples
examples: dist/drain-init-$(NATIVE) ## run or validate each example, and each server's stop command
	tests/examples/run

.PHONY: reproducible
reproducible: ## build everything twice in unlike surroundings and compare
	packaging/reproducible

.PHONY: notices release-notes image-digests rebuild-check
notices: ## write NOTICES, of what debian/copyright says of the linked libraries
	packaging/notices >NOTICES
release-notes: ## print the version's section of CHANGELOG.md
	@packaging/release-notes $(VERSION)
image-digests: ## print the digests of the image index and of its images
	@packaging/publish-image --digests
rebuild-check: ## rebuild the last release and compare it with what was published
	packaging/rebuild-check

.PHONY: wheel
wheel: build ## the wheels for pip
	RUSTC_BOOTSTRAP=1 RUSTFLAGS='$(RELEASE_RUSTFLAGS)' BUILD_STD='$(BUILD_STD)' packaging/wheel/build

.PHONY: wheel-test
wheel-test: wheel ## install the wheels with pip and run the program
	packaging/wheel/test

.PHONY: crate
crate: toolchain ## the crate as crates.io would take it: small, and it builds
	packaging/crate

.PHONY: deny
deny: toolchain ## cargo-deny: advisories, licences, bans, sources (or those in CHECKS)
	CHECKS='$(CHECKS)' packaging/deny

.PHONY: cross
cross: ## install cross into target/tools, for make CARGO=target/tools/bin/cross build
	packaging/cross/install

.PHONY: cross-test
cross-test: cross ## make CARGO=cross build with podman and an image made of Debian packages
	packaging/cross/test

OLDEST_RUST := $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' Cargo.toml)
.PHONY: oldest-rust
oldest-rust: ## build and run with the oldest Rust that Cargo.toml promises (rust-version)
	rustup --quiet toolchain install $(OLDEST_RUST) --profile minimal --no-self-update
	$(CARGO) +$(OLDEST_RUST) build -q --locked --target-dir target/oldest-rust
	target/oldest-rust/debug/drain-init --version

.PHONY: bench
bench: build-all ## size, memory, start and forwarding beside the peers
	benches/run

.PHONY: compare
compare: dist/drain-init-$(NATIVE) ## other inits and none in the same scenarios; writes docs/comparison.md
	tests/compare

.PHONY: fuzz
fuzz: toolchain ## fuzz the parsers and the state machine; longer with FULL=1
	tests/fuzz-run

.PHONY: soak
soak: build ## an hour of random load as PID 1 (SECONDS_OF_SOAK=60 for a minute)
	tests/soak

.PHONY: newcomer
newcomer: toolchain ## what a fresh Debian 12 and 13 make of this tree: 45 minutes each (RELEASES, PLACES, STEPS)
	tests/newcomer

.PHONY: miri
miri: ## the unit tests in Miri (needs a nightly toolchain)
	tests/miri

.PHONY: coverage
coverage: toolchain ## line and branch coverage of src/
	tests/coverage

.PHONY: mutants
mutants: toolchain ## mutation testing of the pure modules; of the others, too, with FULL=1
	tests/mutants

# Debian's zsh looks into $(PREFIX)/share/zsh/vendor-completions, most others here.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
INSTALLED := $(PREFIX)/bin/drain-init $(PREFIX)/share/man/man1/drain-init.1 \
	$(PREFIX)/share/bash-completion/completions/drain-init $(ZSH_COMPLETIONS)/_drain-init \
	$(PREFIX)/share/fish/vendor_completions.d/drain-init.fish

.PHONY: install
install: ## install into DESTDIR and PREFIX (default /usr) what `make build` made
	@test -f dist/drain-init-$(NATIVE) || { echo 'install: nothing is built yet: run make build first' >&2; exit 1; }
	install -D -m 0755 dist/drain-init-$(NATIVE) $(DESTDIR)$(PREFIX)/bin/drain-init
	install -D -m 0644 docs/drain-init.1 $(DESTDIR)$(PREFIX)/share/man/man1/drain-init.1
	install -D -m 0644 packaging/completions/drain-init.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/drain-init
	install -D -m 0644 packaging/completions/_drain-init $(DESTDIR)$(ZSH_COMPLETIONS)/_drain-init
	install -D -m 0644 packaging/completions/drain-init.fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/drain-init.fish

.PHONY: uninstall
uninstall: ## remove what `make install` put there (DESTDIR and PREFIX as then)
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))

.PHONY: clean
clean: ## remove what was built
	rm -rf dist
	$(CARGO) clean -q

include packaging/release.mk
