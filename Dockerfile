# The locked environment and this tree in one image. Not built by us yet: please report what fails.
#   docker build -t calibench .
#   docker run --rm -v "$PWD/results:/calibench/results" -v /data:/data:ro calibench snakemake --cores 4 --configfile config/config.yaml
# For a cluster: apptainer build calibench.sif docker-daemon://calibench:latest
FROM python:3.12-bookworm
ARG TORCH=lock
WORKDIR /calibench
COPY . .
RUN make setup TORCH=$TORCH && rm -rf ~/.cache
ENV PATH=/calibench/.venv/bin:$PATH
CMD ["snakemake", "--cores", "all"]
