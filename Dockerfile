# krea-pipe in a container: pipelines are mounted at /work, state and images are written there.
#
#   docker build -t krea-pipe --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker run --rm --init --user "$(id -u):$(id -g)" -v "$PWD:/work" -e KREA_API_KEY krea-pipe plan pipeline.yaml
#
# A build for keeps names the base by its digest too: --build-arg BASE=python:3.13-slim-trixie@sha256:…
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/run.txt requirements/build.txt requirements/
# No pip in what is shipped: it is installed from outside, the locked versions and nothing else.
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

# Plans against a commit, and the commit in a report, ask git. Debian keeps only the newest version, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/*

# git reads no repository of another owner, because its settings may run programs, with the key in reach. The mounted
# folder mostly has another owner; who mounts it trusts it. So /work and what is below are taken, and nothing else
# (never `*`: other mounts and /tmp stay refused). A folder of a pull request that only looks like a bare repository
# is not taken either.
RUN git config --system --add safe.directory /work \
 && git config --system --add safe.directory '/work/*' \
 && git config --system safe.bareRepository explicit

# Uid 1000 is the first user of most machines. With `--user` any other writes, and can still use the home folder.
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
