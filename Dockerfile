# retrial and what it needs, for the workers of a cluster (docs/cluster.md) and for trying it out:
#   docker build --tag retrial .
#   docker run --rm --volume "$PWD/mlruns:/work/mlruns" retrial retrial search digits
FROM python:3.11-slim
WORKDIR /source
COPY constraints.txt pyproject.toml setup.py README.md LICENSE ./
COPY nets nets
COPY studies studies
COPY tracking tracking
RUN pip install --no-cache-dir --constraint constraints.txt ".[dask]"
WORKDIR /work
CMD ["retrial", "--help"]
