# Targets for a release; docs/releasing.md explains them. The Makefile includes this file.

.PHONY: release-check
release-check: ## check that dist/, the version and, with TAG=vX.Y.Z, the tag can be released
	packaging/release-check

.PHONY: release-test
release-test: dist ## rehearse a release on loopback; break each check once
	packaging/release-test

.PHONY: sbom-matrix
sbom-matrix: ## print each architecture's names and image digest as JSON, for release.yml
	@skopeo inspect --raw oci-archive:dist/drain-init-$(VERSION).oci.tar | jq -c '[$$names, [.manifests[] | {digest}]] | transpose | map(add)' \
		--argjson names "$$(packaging/architectures --json name deb rpm apk machine)"

# release.yml calls these. Each one can be repeated: it compares what is published and does not change it.
.PHONY: sign-sums publish-apt publish-image publish-tags publish-release publish-pages publish-wheel publish-crate
sign-sums: ## sign SHA256SUMS with the apt repository's key
	packaging/sign-sums
publish-apt: ## add dist/ to the published apt repository (branch gh-pages)
	packaging/publish-apt
publish-image: ## push the image by its digest
	packaging/publish-image
publish-tags: ## give the pushed image its tags
	packaging/publish-image --tags
publish-release: ## publish the GitHub release
	packaging/publish-release

# pages.yml runs on the default branch, the only one that may deploy to Pages. The query avoids a cached 404.
APT_URL ?= https://drain-init.github.io/drain-init
publish-pages: ## deploy gh-pages with pages.yml and wait until it serves this version
	gh workflow run pages.yml
	curl -fsS --retry 90 --retry-delay 10 --retry-all-errors --create-dirs --output target/served.deb \
		"$(APT_URL)/pool/main/d/drain-init/drain-init_$(VERSION)_amd64.deb?$$(date +%s)"
	cmp target/served.deb dist/drain-init_$(VERSION)_amd64.deb

publish-wheel: export UV_PUBLISH_CHECK_URL ?= https://pypi.org/simple/
publish-wheel: ## upload the wheels that PyPI does not have
	uv=$$(packaging/venv uv) && "$$uv/bin/uv" publish dist/*.whl

# CI has built this crate (make crate); a job that holds the token does not compile.
REGISTRY ?= crates-io
publish-crate: ## publish the crate, unless crates.io has this version
	$(CARGO) info --quiet --registry $(REGISTRY) drain-init@$(VERSION) || \
		$(CARGO) publish --locked --no-verify --registry $(REGISTRY)

# Shared by the targets in the Makefile.

# Programs that a target needs later are installed before the long build.
NEEDS :=
demo e2e e2e-kubernetes examples test: NEEDS := python3=python3
.PHONY: toolchain native every-binary
toolchain: ## add what the release build needs to the pinned toolchain
	@packaging/need $(NEEDS)
	@packaging/toolchain
native: toolchain ## build this machine's binary alone
	@packaging/binaries $(NATIVE)
every-binary: toolchain ## build the binaries of every architecture
	@packaging/binaries $(ALL_TIERS)

# The parts of `make dist`.
.PHONY: deb apt rpm apk image wheel
deb: every-binary ## the Debian packages
	packaging/deb/build
apt: deb ## the apt repository, dist/apt
	packaging/apt/build
rpm apk: every-binary ## the packages for rpm and for Alpine's apk
	packaging/nfpm/build $@
image: every-binary ## the multi-architecture OCI image
	packaging/image/build
wheel: every-binary ## the wheels for pip
	packaging/wheel/build

.PHONY: crate examples reproducible rebuild-check notices release-notes
crate: toolchain ## pack the crate as crates.io would take it, and build it
	packaging/crate
examples: native ## run or validate each example, and each server's stop command
	tests/examples/run
reproducible: ## build everything twice in different environments and compare
	packaging/reproducible
rebuild-check: ## rebuild the last release and compare it with the published files
	packaging/rebuild-check
notices: ## write NOTICES from packaging/deb/copyright
	packaging/notices >NOTICES
release-notes: ## print the version's section of CHANGELOG.md
	@packaging/release-notes $(VERSION)

.PHONY: cross cross-test coverage mutants
cross: ## install cross into target/tools, for make CARGO=target/tools/bin/cross build
	packaging/cross/install
cross-test: cross ## build with cross, in podman and an image made of Debian packages
	packaging/cross/test
coverage: toolchain ## line and branch coverage of src/
	tests/coverage
mutants: toolchain ## mutation testing of the modules that make system calls (cargo mutants has the others)
	tests/mutants
