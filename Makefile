# The two commands of README: `make demo` and `make test`. `make build` and those that need it see to the Rust target by themselves, and
# build for another architecture, too: `make build ARCH=aarch64` (docs/building.md).
ARCH := $(shell uname -m)
HOST := $(shell uname -m)-unknown-linux-musl
TARGET = $(shell scripts/arch $(ARCH))-unknown-linux-musl
CARGO := cargo
# Most tests wait for something; more at a time than there are cores is quicker.
export RUST_TEST_THREADS ?= 4
# All that is built is looked for here.
unexport CARGO_TARGET_DIR
# A test that cannot run here is a failure; with plain `cargo test` it is skipped.
export PODGATE_TESTS := all

# Signals do what they do by default: a shell ignores SIGINT and SIGQUIT for what it starts in the background, nohup SIGHUP, and the
# programs of the tests would inherit that.
AS_USUAL := env --default-signal

.PHONY: demo picture test build lint size image bench faults fuzz target emulated release reproduce

demo: build
	scripts/build $(ARCH) --example demo
	target/$(TARGET)/release/examples/demo

# The picture of the demo in README, drawn anew.
picture: build
	scripts/build $(ARCH) --example demo
	target/$(TARGET)/release/examples/demo | docs/picture >docs/demo.svg.new && mv docs/demo.svg.new docs/demo.svg

test: target
	ci/setup
	$(AS_USUAL) $(CARGO) test --locked --target $(HOST)
	# The examples need no TLS: once is enough.
	$(AS_USUAL) $(CARGO) test --locked --target $(HOST) --no-default-features --target-dir target/no-tls -- \
	    --skip examples_are_played --skip player_rules

# The release build, with the same bytes wherever it is made.
build: target
	scripts/build $(ARCH)

lint: target
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml -- --config-path rustfmt.toml
	$(CARGO) clippy --locked --target $(HOST) --all-targets -- -D warnings
	$(CARGO) clippy --locked --target $(HOST) --all-targets --no-default-features --target-dir target/no-tls -- -D warnings
	$(CARGO) fetch --locked --quiet
	ci/licences

# Both builds, and whether they are within their limits.
size: build
	scripts/build $(ARCH) --no-default-features --target-dir target/no-tls
	ci/size target/$(TARGET)/release/podgate 2100000
	ci/size target/no-tls/$(TARGET)/release/podgate 1250000

# Builds the Dockerfile, for both architectures, with a base image made of this machine's toolchain, and runs the final image.
image:
	ci/setup-release
	scripts/build x86_64
	scripts/build aarch64
	ci/image

# The black-box tests with the aarch64 binary, on a machine of another architecture.
emulated:
	ci/setup
	ci/setup-release
	scripts/build aarch64
	ci/emulated

# dist/: both binaries, SBOMs, the image as an OCI archive, checksums; looked at, and made a second time.
release:
	ci/setup-release
	ci/check-release

# Builds in two folders, and compares.
reproduce:
	ci/setup-release
	ci/reproducible

bench: size
	python3 bench/measure.py --podgate target/$(TARGET)/release/podgate \
	    --podgate-no-tls target/no-tls/$(TARGET)/release/podgate
	python3 bench/coordinate.py --podgate target/$(TARGET)/release/podgate

# Every system call of a member fails, or is where it dies: not 60 for each member, as in `make test`, but all; or ROUNDS=600.
faults: target
	$(if $(ROUNDS),PODGATE_FAULTS_ROUNDS=$(ROUNDS),PODGATE_FAULTS=all) $(AS_USUAL) $(CARGO) test --locked --target $(HOST) --test blackbox -- fails_at_every_system_call

# All seeds again, two seconds of fuzzing for each target, and a planted bug for each that must be found. `make fuzz RUNS=1000000`: so many
# executions a target instead; TARGETS="http argv": these alone.
fuzz:
	$(if $(RUNS),RUNS=$(RUNS)) $(if $(TARGETS),TARGETS="$(TARGETS)") fuzz/run

target:
	@scripts/toolchain $(ARCH)
