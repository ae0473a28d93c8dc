# The locked environment and this tree in one image. Written by the rules of the tool and not yet built by us: please report.
#   docker build -t calibench .
#   docker run --rm -v "$PWD/results:/calibench/results" -v /data:/data:ro calibench snakemake --cores 4 --configfile config/config.yaml
# On a cluster: apptainer build calibench.sif docker-daemon://calibench:latest, then `apptainer exec --nv calibench.sif snakemake …`
FROM python:3.12-bookworm
ARG TORCH=lock
WORKDIR /calibench
COPY Makefile requirements.lock ./
COPY envs envs
RUN make setup TORCH=$TORCH ENV=/opt/calibench && rm -rf /root/.cache
COPY . .
ENV PATH=/opt/calibench/bin:$PATH
CMD ["snakemake", "--cores", "all"]
