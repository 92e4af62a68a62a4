# krea-pipe in a container: mount pipelines at /work; state and images are written there.
#
#   docker build -t krea-pipe --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker run --rm --init --user "$(id -u):$(id -g)" -v "$PWD:/work" -e KREA_API_KEY krea-pipe plan pipeline.yaml
#
# For a reproducible build, name the digest of the base: --build-arg BASE=python:3.13-slim-trixie@sha256:…
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/run.txt requirements/build.txt requirements/
# The shipped environment has no pip: an outer pip installs exactly the locked versions into it.
RUN python -m venv --without-pip /opt/krea-pipe \
 && pip --python /opt/krea-pipe/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements/run.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY krea_pipe krea_pipe
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
 && pip --python /opt/krea-pipe/bin/python install --no-cache-dir --no-deps --no-index /wheels/krea_pipe-*.whl

FROM ${BASE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="krea-pipe" \
      org.opencontainers.image.description="Declarative image pipelines for Krea 2: YAML in git, priced before the run, cached, reported." \
      org.opencontainers.image.licenses="MIT AND OFL-1.1" \
      org.opencontainers.image.revision="${REVISION}"

# `plan --against` and the commit in a report need git. Debian keeps only the newest version, so no version is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/*

# git refuses a repository of another owner, because its settings can run programs, which could read the key. The
# mounted folder usually has another owner, and whoever mounts it trusts it. Git therefore accepts /work and the folders
# in it, and nothing else (never `*`: other mounts and /tmp stay refused). It does not accept a folder of a pull request
# that only looks like a bare repository.
RUN git config --system --add safe.directory /work \
 && git config --system --add safe.directory '/work/*' \
 && git config --system safe.bareRepository explicit

# On most machines, uid 1000 is the first user. Any other user (`--user`) can write too, and can use the home folder.
RUN useradd --uid 1000 --user-group --create-home krea \
 && chmod 1777 /home/krea \
 && install -d -o krea -g krea /work

COPY --from=build /opt/krea-pipe /opt/krea-pipe
ENV PATH=/opt/krea-pipe/bin:$PATH \
    HOME=/home/krea \
    PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["krea-pipe"]
CMD ["--help"]
