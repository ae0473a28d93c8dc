#!/usr/bin/env bash
# envs/setup.sh: makes the Python environment that `make setup` promises. Called by the Makefile; settings are variables:
#   ENV     where the environment goes (default .venv; with another path, .venv becomes a link to it)
#   TORCH   another build of torch than in requirements.lock, e.g. cu126 (older driver) or cpu; `lock` goes back to that one
#   PYTHON  the interpreter (default: the first of python3.11 … python3.13, python3 that is new enough)
# A file in the environment records what it was made from, so a second call does nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
# a user's own Python settings must not change the environment
unset PYTHONPATH PYTHONHOME

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

command -v git > /dev/null || die "git is missing: install it (Debian: apt install git), every run records its commit."

wanted=${ENV:-.venv}
[[ $wanted != *" "* ]] || die "ENV='$wanted' contains a space: choose a path without one."
# `make setup ENV=/scratch/env` leaves .venv as a link, so that later commands find it without ENV
if [[ $wanted == .venv && -L .venv ]]; then wanted=$(readlink .venv); fi
env=$(realpath -ms "$wanted")

# --- is there anything to do? -----------------------------------------------------------------------------------------
stamp=$env/.calibench-setup
recorded() { [[ -f $stamp ]] && sed -n "s/^$1=//p" "$stamp" || true; }
torch=${TORCH:-$(recorded torch)}
torch=${torch:-lock}
[[ $torch =~ ^[a-z0-9.]+$ ]] || die "TORCH='$torch' is not a build: use lock, cpu, auto or a CUDA version such as cu126."
state=$(printf 'lock=%s\ntorch=%s\nenv=%s\n' "$(sha256sum < requirements.lock | cut -d' ' -f1)" "$torch" "$env")
link() {
    if [[ $env != "$root/.venv" ]]; then
        [[ -L .venv || ! -e .venv ]] || die ".venv exists beside ENV=$env: remove it (rm -r .venv) and run make setup ENV=$env again."
        ln -sfn "$env" .venv
    fi
}
# checkouts may share an environment; it is made anew if the one that made it was moved
if [[ -f $stamp && $(sed '/^root=/d' "$stamp") == "$state" && -x $env/bin/python && -d $(recorded root)/workflow ]]; then
    link
    exit 0
fi

# --- an interpreter ---------------------------------------------------------------------------------------------------
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1; }
python=
if [[ -n ${PYTHON:-} ]]; then
    new_enough "$PYTHON" || die "PYTHON=$PYTHON is not a Python of version 3.11 or newer."
    python=$PYTHON
else
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if new_enough "$candidate"; then python=$(command -v "$candidate"); break; fi
    done
fi
uv=$(command -v uv || true)
[[ -n $python || -n $uv ]] || die "no Python of version 3.11 or newer found: load or install one (Debian: apt install python3 python3-venv), or name it with make setup PYTHON=/path/to/python3."

# --- room and cache ---------------------------------------------------------------------------------------------------
mkdir -p "$(dirname "$env")" || die "cannot write to $(dirname "$env"): choose another place with make setup ENV=/path."
free_gb=$(( $(df -Pk "$(dirname "$env")" | awk 'NR == 2 {print $4}') / 1000000 ))
(( free_gb >= 8 )) || say "warning: $free_gb GB free at $(dirname "$env"); the environment needs about 8 while it is made: make setup ENV=/path puts it elsewhere."
scratch=$env.part
mkdir -p "$scratch"
trap 'rm -rf "$scratch"' EXIT
if [[ -z ${UV_CACHE_DIR:-} ]]; then
    cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}
    # a cache on another file system is copied, not linked, and fills the home quota: use one beside the environment, and remove it at the end
    if [[ ! -d $cache || $(stat -c %d "$cache") != $(stat -c %d "$scratch") ]]; then export UV_CACHE_DIR=$scratch/cache; fi
fi

# --- the institution's network ----------------------------------------------------------------------------------------
# uv reads none of pip's settings: pass on a mirror and a certificate, and trust the certificates of the machine
[[ -z ${PIP_INDEX_URL:-} || -n ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]] || export UV_DEFAULT_INDEX=$PIP_INDEX_URL
[[ -z ${PIP_CERT:-} || -n ${SSL_CERT_FILE:-} ]] || export SSL_CERT_FILE=$PIP_CERT
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    # UV_NATIVE_TLS is the older name
    if [[ -s $bundle ]]; then export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-1} UV_NATIVE_TLS=${UV_NATIVE_TLS:-1}; fi
done
# cluster file systems and mirrors are slow, and torch is large
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}

# --- the environment, with uv inside ------------------------------------------------------------------------------------
say "making $env (about 6 GB to download and unpack; only once)"
if [[ -n $uv ]]; then
    "$uv" venv --quiet --clear --python "${python:-3.12}" "$env" || die "uv could not make an environment at $env."
else
    # an environment left by a call that was interrupted is made anew
    "$python" -m venv --clear "$env" > "$scratch/venv.log" 2>&1 || {
        rm -rf "$env"
        die "$python cannot make environments: install its venv module (Debian: apt install python3-venv) or uv (https://docs.astral.sh/uv)."
    }
    # uv itself comes from the lock, with its hash checked
    awk '/^[a-z]/ {keep = /^uv==/} keep' requirements.lock > "$scratch/uv.txt"
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$scratch/uv.txt" \
        || die "pip could not fetch uv: is there a network? On a cluster run make setup on a login node (docs/install.md)."
    uv=$env/bin/uv
fi

in_env=(--quiet --python "$env/bin/python")
locked=requirements.lock
if [[ $torch != lock ]]; then
    # everything but torch, torchvision and the libraries of the lock's CUDA
    awk '/^[a-z]/ {drop = /^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)==/} !drop' requirements.lock > "$scratch/without-torch.txt"
    locked=$scratch/without-torch.txt
fi
"$uv" pip sync --compile-bytecode "${in_env[@]}" --require-hashes "$locked" \
    || die "packages could not be installed: is there a network and room at $env? Run make setup again to go on."
if [[ $torch != lock ]]; then
    # both from one package index: a torch and a torchvision of different builds do not work together; a user's own uv may be
    # too old for --torch-backend, the lock's is not
    "$env/bin/uv" pip install "${in_env[@]}" --torch-backend "$torch" torch torchvision \
        || die "no torch build '$torch' could be installed: see the list at https://pytorch.org/get-started."
fi
# the package is used from the checkout, also by scripts in other folders
site=$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n' "$root/workflow" > "$site/calibench.pth"
# in a checkout the command uses the code of that checkout, in other folders the code of this one
cat > "$env/bin/calibench" << COMMAND
#!/bin/sh
if [ -d workflow/calibench ]; then export PYTHONPATH="\$PWD/workflow\${PYTHONPATH:+:\$PYTHONPATH}"; fi
exec "$env/bin/python" -m calibench "\$@"
COMMAND
chmod +x "$env/bin/calibench"
"$env/bin/python" -c 'import calibench, torch, torchvision, cv2, snakemake' || die "the environment at $env is broken: remove it and run make setup again."

link
printf '%s\nroot=%s\n' "$state" "$root" > "$stamp"
gpu="no usable GPU: training runs on the CPU"
if "$env/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2> /dev/null; then
    gpu="GPU usable"
elif command -v nvidia-smi > /dev/null && nvidia-smi > /dev/null 2>&1; then
    gpu="there is a GPU, but its driver is too old for this build: make setup TORCH=cu126 (docs/install.md)"
fi
say "ready: torch $("$env/bin/python" -c 'import torch; print(torch.__version__)'), $gpu"
