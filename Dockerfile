# syntax=docker/dockerfile:1
# evalkit in an image: docker build -t evalkit . && docker run --rm -v "$PWD:/work" -e PARADIGM_API_KEY evalkit sweep experiment.yaml --yes
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.12-slim
COPY --from=build /dist/*.whl /dist/
RUN python -m pip install --no-cache-dir /dist/*.whl \
    && rm -r /dist \
    && useradd --create-home --uid 1000 evalkit \
    && install -d -o evalkit /work
USER 1000
WORKDIR /work
ENTRYPOINT ["evalkit"]
CMD ["--help"]
