# Targets for a release. The Makefile includes this file.

.PHONY: release-check
release-check: ## what the release job would check, of dist/ and, with TAG=vX.Y.Z, of the tag
	packaging/release-check

.PHONY: release-test
release-test: dist ## rehearse a release on loopback and in directories; break each check once
	packaging/release-test/run

# What release.yml calls, and a maintainer can: DRY_RUN=1 shows what would be done.
.PHONY: sign-sums sign-image registry-login publish-apt publish-pages publish-image publish-release publish-wheel publish-crate
sign-sums: ## sign SHA256SUMS with the archive's key
	packaging/sign-sums
registry-login: ## log in where sign-image and the attestations push to
	@packaging/sign-image --login
sign-image: ## sign the published image with cosign
	packaging/sign-image
publish-apt: ## add dist/ to the published apt repository (branch gh-pages)
	packaging/publish-apt
publish-pages: ## have GitHub Pages serve the branch gh-pages
	packaging/publish-pages
publish-image: ## push the image with the tags that are due
	packaging/publish-image
publish-release: ## create the GitHub release
	packaging/publish-release
publish-wheel: ## upload the wheels to PyPI
	packaging/wheel/publish
publish-crate: ## upload the crate to crates.io (make crate has built it)
	CARGO='$(CARGO)' packaging/publish-crate

# What the targets in the Makefile share.

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
