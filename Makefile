# The two commands of README: `make demo` and `make test`. Both see to the Rust target by themselves: rustup adds the targets of
# rust-toolchain.toml only where it installs the toolchain, or is asked to by `rustup toolchain install`.
TARGET := $(shell uname -m)-unknown-linux-musl
CARGO := cargo
# Most tests wait for something; more at a time than there are cores is quicker.
export RUST_TEST_THREADS ?= 4

# Signals do what they do by default: a shell ignores SIGINT and SIGQUIT for what it starts in the background, nohup SIGHUP, and the
# programs of the tests would inherit that.
AS_USUAL := env --default-signal

.PHONY: demo picture test build lint size image bench fuzz target

demo: build
	$(CARGO) build --release --locked --target $(TARGET) --example demo
	target/$(TARGET)/release/examples/demo

# The picture of the demo in README, drawn anew.
picture: build
	$(CARGO) build --release --locked --target $(TARGET) --example demo
	target/$(TARGET)/release/examples/demo | docs/picture >docs/demo.svg.new && mv docs/demo.svg.new docs/demo.svg

test: target
	tests/setup
	$(AS_USUAL) $(CARGO) test --locked --target $(TARGET)
	$(AS_USUAL) $(CARGO) test --locked --target $(TARGET) --no-default-features --target-dir target/no-tls

build: target
	$(CARGO) build --release --locked --target $(TARGET)

lint: target
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --target $(TARGET) --all-targets -- -D warnings
	$(CARGO) clippy --locked --target $(TARGET) --all-targets --no-default-features --target-dir target/no-tls -- -D warnings

# Both builds, and whether they are within their limits.
size: build
	$(CARGO) build --release --locked --target $(TARGET) --no-default-features --target-dir target/no-tls
	tests/size target/$(TARGET)/release/podgate 2000000
	tests/size target/no-tls/$(TARGET)/release/podgate 1000000

# Builds the Dockerfile with a base image made of this machine's toolchain, and runs the final image.
image: build
	tests/image

bench: size
	python3 tests/bench/measure.py --podgate target/$(TARGET)/release/podgate \
	    --podgate-no-tls target/no-tls/$(TARGET)/release/podgate
	python3 tests/bench/coordinate.py --podgate target/$(TARGET)/release/podgate

# How often each target of the fuzzer is executed.
RUNS := 60000
fuzz:
	tests/fuzz $(RUNS)

target:
	@rustup target list --installed 2>/dev/null | grep -qx $(TARGET) || { rustup toolchain install --no-self-update && rustup target add $(TARGET); }
