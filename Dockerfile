# Two stages: the first builds podgate with the Rust toolchain, the second has nothing but the binary.
#
#   docker build -t podgate .
#   docker run --rm podgate --help
#   docker buildx build --platform linux/amd64,linux/arm64 -t podgate .
#
# Any image with rustup (or the toolchain of rust-toolchain.toml with its musl targets), gcc and libc's headers can be the base of the
# first stage. CI has no registry to pull from, and gives one that it has made of its own machine (ci/image).
ARG RUST_IMAGE=rust:1.95-slim-bookworm

# It runs on the machine that builds, and compiles for the other. BuildKit says which machine that is; the classic builder does not, and
# takes "linux" for the one it runs on.
FROM --platform=${BUILDPLATFORM:-linux} ${RUST_IMAGE} AS build
# amd64 or arm64: BuildKit's, from --platform. The classic builder is told by --build-arg, or builds for its own machine.
ARG TARGETARCH
WORKDIR /src
COPY rust-toolchain.toml ./
COPY scripts/arch scripts/toolchain scripts/build scripts/
# What is needed to build for another architecture is installed here.
RUN scripts/toolchain "$TARGETARCH"
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY src src
COPY examples examples
COPY tests tests
RUN scripts/build "$TARGETARCH" --bin podgate \
    && cp "target/$(scripts/arch "$TARGETARCH")-unknown-linux-musl/release/podgate" /podgate

FROM scratch
LABEL org.opencontainers.image.title=podgate org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /podgate /podgate
# A number, so that runAsNonRoot can be checked without an /etc/passwd.
USER 65532:65532
ENTRYPOINT ["/podgate"]
