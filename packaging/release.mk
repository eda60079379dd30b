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
