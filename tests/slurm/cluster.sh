#!/usr/bin/env bash
# cluster.sh: a real, private, throw-away Slurm on one Debian machine, for tests (no systemd, nothing under /etc).
#
#   cluster.sh install    packages by apt (root; nothing to do when they are there)
#   cluster.sh start      configuration, munged, slurmctld, three slurmd; returns once a job has run
#   cluster.sh run CMD…   CMD with the cluster's commands first on PATH
#   cluster.sh env        the PATH line itself, to eval
#   cluster.sh status     daemons and nodes
#   cluster.sh stop       stop the daemons that were started from this folder
#   cluster.sh destroy    stop, then remove the folder
#
# n1 is a CPU node (partition cpu, the default), n2 and n3 have fake GPUs (partition gpu; partition urgent on the same
# nodes preempts it, by requeueing). Settings are variables:
#   SLURM_TEST_DIR=$TMPDIR/calibench-slurm   everything lives here; short, since it holds unix sockets
#   SLURM_TEST_CPUS=4                        CPUs a node claims (may exceed the real ones)
#   SLURM_TEST_MEM_MB=64000                  memory a node claims (not enforced)
#   SLURM_TEST_GPUS=2                        fake GPUs of n2 and n3
set -euo pipefail

DIR=${SLURM_TEST_DIR:-${TMPDIR:-/tmp}/calibench-slurm}
CPUS=${SLURM_TEST_CPUS:-4}
MEM_MB=${SLURM_TEST_MEM_MB:-64000}
GPUS=${SLURM_TEST_GPUS:-2}
NODES=3
ME=$(id -un)
HOST=$(hostname -s)
FREEZER=/sys/fs/cgroup/freezer
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# the pid of daemon $1 if it lives and is ours: a pid file alone may name a recycled pid or another cluster's daemon
alive() {
    local file=$DIR/run/$1.pid pid
    [[ -s $file ]] || return 1
    read -r pid < "$file" || true
    [[ $pid =~ ^[0-9]+$ && $(cat "/proc/$pid/comm" 2> /dev/null) == "${1%%-*}" ]] || return 1
    tr '\0' '\n' 2> /dev/null < "/proc/$pid/environ" | grep -qxF "SLURM_TEST_MARK=$DIR" || return 1
    echo "$pid"
}

# no inherited descriptors and job variables: a test runner that waits on a pipe would hang
spawn() {
    env -u SLURM_JOB_ID -u SLURM_JOBID SLURM_TEST_MARK="$DIR" SLURM_CONF="$DIR/slurm.conf" "$@" \
        < /dev/null >> "$DIR/log/start.log" 2>&1 9>&-
}

wait_for() { # seconds, command…
    local end=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        if ((SECONDS >= end)); then
            say "gave up waiting for: $*"
            tail -n 15 "$DIR"/log/*.log >&2
            return 1
        fi
        sleep 0.2
    done
}

# the first of a free block of ports below the ephemeral range
free_ports() {
    local base port
    for base in $(seq 26800 50 32000); do
        for ((port = base; port <= base + NODES; port++)); do
            if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then continue 2; fi
        done
        echo "$base"
        return
    done
    die "no free block of ports"
}

install() {
    local want=() pair
    for pair in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
        command -v "${pair%%:*}" > /dev/null || want+=("${pair#*:}")
    done
    ((${#want[@]})) || return 0
    command -v apt-get > /dev/null || die "no apt-get here: install ${want[*]} yourself"
    [[ $ME == root ]] || die "packages missing (${want[*]}); run as root: $0 install"
    # keeps the packages' own scripts from starting system-wide daemons
    local policy=/usr/sbin/policy-rc.d made=
    [[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy && made=1; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${want[@]}" > /dev/null
    [[ -z $made ]] || rm -f $policy
    say "installed ${want[*]}"
}

# cgroup tracking is what clusters use and the only one that no process escapes; it needs root and cgroup v1
proctrack() {
    if [[ $ME == root && -w $FREEZER/cgroup.procs ]] && mkdir "$FREEZER/slurm-probe-$$" 2> /dev/null; then
        rmdir "$FREEZER/slurm-probe-$$"
        echo cgroup
    else
        echo pgid
    fi
}

write_config() {
    local port=$1 i node
    mkdir -p "$DIR"/{run,log,state,bin,dev}
    chmod 755 "$DIR" "$DIR/run"
    [[ -s $DIR/munge.key ]] || (umask 077 && head -c 128 /dev/urandom > "$DIR/munge.key")
    # Slurm refuses regular files but accepts links to a character device; only these make it set CUDA_VISIBLE_DEVICES
    for ((i = 0; i < GPUS; i++)); do ln -sfn /dev/null "$DIR/dev/gpu$i"; done
    printf '%s\n' "AutoDetect=off" "NodeName=n[2-3] Name=gpu Count=$GPUS File=$DIR/dev/gpu[0-$((GPUS - 1))]" > "$DIR/gres.conf"
    # without this file slurmd probes for cgroups
    printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=${FREEZER%/*} CgroupAutomount=no ConstrainCores=no \
        ConstrainDevices=no ConstrainRAMSpace=no > "$DIR/cgroup.conf"
    : > "$DIR/plugstack.conf"
    cat > "$DIR/slurm.conf" << CONF
ClusterName=calibench
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=$ME
SlurmdUser=$ME
AuthType=auth/munge
AuthInfo=socket=$DIR/run/munge.socket
CredType=cred/munge
PlugStackConfig=$DIR/plugstack.conf
SlurmctldPort=$port
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd-%n.pid
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool-%n
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd-%n.log
MailProg=/bin/true
MpiDefault=none
AccountingStorageType=accounting_storage/none
# no binding and no enforced memory: works in virtual machines and containers
ProctrackType=proctrack/$(proctrack)
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# nodes may claim more than the machine has
SlurmdParameters=config_overrides
# a node that was set down stays down
ReturnToService=1
# how long a finished job can be asked for; Slurm's own default
MinJobAge=300
KillWait=5
UnkillableStepTimeout=30
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=2
CONF
    # a machine whose name is a loopback address needs to listen nowhere else
    [[ $(getent hosts "$HOST") != 127.* ]] || echo "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" >> "$DIR/slurm.conf"
    for ((i = 1; i <= NODES; i++)); do
        node="NodeName=n$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=$CPUS RealMemory=$MEM_MB State=UNKNOWN"
        ((i == 1)) || node+=" Gres=gpu:$GPUS"
        echo "$node" >> "$DIR/slurm.conf"
    done
    cat >> "$DIR/slurm.conf" << CONF
PartitionName=cpu Nodes=n1 Default=YES DefaultTime=10 MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=n[2-3] DefaultTime=10 MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=0
PartitionName=urgent Nodes=n[2-3] DefaultTime=10 MaxTime=INFINITE State=UP PriorityTier=10
CONF
    # The plugin strips every SLURM_* variable, SLURM_CONF too, before it calls srun inside a job; PATH survives.
    printf '#!/bin/sh\nexport SLURM_CONF=%q\nexec "/usr/bin/${0##*/}" "$@"\n' "$DIR/slurm.conf" > "$DIR/bin/.client"
    chmod 755 "$DIR/bin/.client"
    for i in sacct sacctmgr sbatch scancel scontrol sdiag sinfo squeue srun sshare; do ln -sfn .client "$DIR/bin/$i"; done
}

# every node up: neither unknown, down, drained nor "not responding" (*)
nodes_ready() {
    local states
    states=$(timeout 5 "$DIR/bin/sinfo" -h -N -o %T) || return 1
    [[ -n $states ]] && ! grep -qvxE 'idle|mixed|allocated|completing' <<< "$states"
}

start() {
    local i
    command -v slurmctld > /dev/null && command -v slurmd > /dev/null && command -v munged > /dev/null \
        || die "Slurm is not installed; run as root: $0 install"
    ((${#DIR} <= 80)) || die "SLURM_TEST_DIR is too long for unix sockets: $DIR"
    if ! alive slurmctld > /dev/null; then
        stop 2> /dev/null # what a start that failed half-way left
        rm -rf "$DIR"/state "$DIR"/spool-* # jobs and node states of the last time
        write_config "$(free_ports)"
    fi
    trap 'code=$?; if ((code)); then say "start failed; logs are in $DIR/log"; stop; fi' EXIT
    alive munged > /dev/null || spawn munged --force --socket="$DIR/run/munge.socket" --key-file="$DIR/munge.key" \
        --log-file="$DIR/log/munged.log" --pid-file="$DIR/run/munged.pid" --seed-file="$DIR/run/munged.seed"
    wait_for 10 timeout 5 munge -n -S "$DIR/run/munge.socket"
    alive slurmctld > /dev/null || spawn slurmctld -i
    wait_for 20 timeout 5 "$DIR/bin/scontrol" show config
    for ((i = 1; i <= NODES; i++)); do
        alive "slurmd-n$i" > /dev/null || { mkdir -p "$DIR/spool-n$i" && spawn slurmd -N "n$i"; }
    done
    wait_for 30 nodes_ready
    # the proof: a job that really runs
    timeout 30 "$DIR/bin/srun" -Q -N1 -n1 -t1 true || die "srun true failed; logs are in $DIR/log"
    say "up: $(slurmd -V), $NODES nodes, $(sed -n 's/^ProctrackType=//p' "$DIR/slurm.conf"), in $DIR"
}

no_jobs() { [[ -z $(timeout 5 "$DIR/bin/squeue" -h 2> /dev/null) ]]; }

stop() {
    local file daemon pid
    [[ -d $DIR/run ]] || return 0
    if alive slurmctld > /dev/null; then
        timeout 10 "$DIR/bin/scancel" --quiet --user="$ME" 2> /dev/null || true
        wait_for 15 no_jobs || true
    fi
    for file in "$DIR"/run/slurmd-*.pid slurmctld munged; do
        daemon=${file##*/}
        daemon=${daemon%.pid}
        pid=$(alive "$daemon") || continue
        kill "$pid" 2> /dev/null || true
        for _ in $(seq 150); do
            alive "$daemon" > /dev/null || break
            sleep 0.1
        done
        if alive "$daemon" > /dev/null; then kill -9 "$pid" 2> /dev/null || true; fi
        rm -f "$DIR/run/$daemon.pid"
    done
    rm -f "$DIR"/run/munge.socket*
}

case ${1:-} in # one start or stop at a time
    start | stop | destroy)
        exec 9> "$DIR.lock"
        flock -w 180 9 || die "$DIR.lock is held"
        ;;
esac
case ${1:-} in
    install) install ;;
    start) start ;;
    stop) stop ;;
    destroy)
        stop
        [[ ! -e $DIR/slurm.conf ]] || rm -rf "$DIR"
        rm -f "$DIR.lock"
        ;;
    env) echo "export PATH='$DIR/bin':\"\$PATH\"" ;;
    run)
        shift
        PATH=$DIR/bin:$PATH exec "$@"
        ;;
    status)
        for daemon in munged slurmctld slurmd-n1 slurmd-n2 slurmd-n3; do
            printf '%-12s %s\n' "$daemon" "$(alive "$daemon" || echo -)"
        done
        "$DIR/bin/sinfo" -N -o '%N %P %T %c %m %G'
        ;;
    *)
        sed -n '2,/^set -/p' "$0" | sed '$d; s/^# \{0,1\}//'
        exit 2
        ;;
esac
